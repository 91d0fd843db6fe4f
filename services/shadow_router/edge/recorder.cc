#include "services/shadow_router/edge/recorder.h"

#include <utility>

#include "common/json/digest.h"

namespace crossover::router {
namespace {

bool RedactInto(const Redactor& redactor, const std::string& text, std::string& out,
                Recording& recording) {
  absl::StatusOr<Redacted> redacted = redactor.Redact(text);
  if (!redacted.ok()) return false;
  out = std::move(redacted->text);
  recording.redactions += redacted->redactions;
  return true;
}

bool RedactMetadata(const Redactor& redactor, const std::map<std::string, std::string>& metadata,
                    Recording& recording) {
  for (const auto& [key, value] : metadata) {
    std::string clean_key, clean_value;
    if (!RedactInto(redactor, key, clean_key, recording) ||
        !RedactInto(redactor, value, clean_value, recording))
      return false;
    recording.metadata[clean_key] = clean_value;
  }
  return true;
}

}  // namespace

std::optional<Recording> MakeRecording(const ResolvedRoute& route, const std::string& variant,
                                       const ChatRequest& request, const Answer& answer,
                                       const std::string& inference_id, absl::Time now,
                                       const Redactor& redactor) {
  const RecordPolicy policy = route.task.record;
  if (policy == RecordPolicy::kOff) return std::nullopt;
  Recording recording{.id = inference_id,
                      .route = route.route.name,
                      .variant = variant,
                      .request_id = inference_id,
                      .completion_id = answer.completion_id,
                      .time = now,
                      .finish_reason = answer.finish_reason,
                      .input_digest = DigestOf(request.Raw("messages")),
                      .usage = answer.usage};
  if (policy == RecordPolicy::kMetadata) return recording;
  const std::string messages(request.Raw("messages"));
  if (policy == RecordPolicy::kFull) {
    recording.request = messages;
    recording.response = answer.content;
    recording.tool_calls = answer.tool_calls;
    recording.metadata = request.metadata;
    return recording;
  }
  Recording redacted = recording;
  const bool clean = RedactInto(redactor, messages, redacted.request, redacted) &&
                     RedactInto(redactor, answer.content, redacted.response, redacted) &&
                     RedactInto(redactor, answer.tool_calls, redacted.tool_calls, redacted) &&
                     RedactMetadata(redactor, request.metadata, redacted);
  return clean ? redacted : recording;
}

}  // namespace crossover::router
