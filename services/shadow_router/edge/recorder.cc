#include "services/shadow_router/edge/recorder.h"

#include "common/json/digest.h"

namespace crossover::router {

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
                      .metadata = request.metadata,
                      .input_digest = DigestOf(request.Raw("messages")),
                      .usage = answer.usage};
  if (policy == RecordPolicy::kMetadata) return recording;
  const std::string messages(request.Raw("messages"));
  if (policy == RecordPolicy::kFull) {
    recording.request = messages;
    recording.response = answer.content;
    return recording;
  }
  const auto clean_request = redactor.Redact(messages);
  const auto clean_response = redactor.Redact(answer.content);
  if (clean_request.ok() && clean_response.ok()) {
    recording.request = clean_request->text;
    recording.response = clean_response->text;
    recording.redactions = clean_request->redactions + clean_response->redactions;
  }
  return recording;
}

}  // namespace crossover::router
