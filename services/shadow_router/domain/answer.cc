#include "services/shadow_router/domain/answer.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/canonical.h"
#include "common/status/absl_view.h"
#include "services/shadow_router/domain/answer_json.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxToolCalls = 128;

std::string StringOr(const Json& object, const char* key, std::string fallback = "") {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::move(fallback);
}

int64_t IntOr(const Json& object, const char* key, int64_t fallback = 0) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number_integer() ? it->get<int64_t>() : fallback;
}

void ReadUsage(const Json& root, Usage& usage) {
  const auto it = root.find("usage");
  if (it == root.end() || !it->is_object()) return;
  usage.input = IntOr(*it, "prompt_tokens");
  usage.output = IntOr(*it, "completion_tokens");
  const auto details = it->find("prompt_tokens_details");
  if (details != it->end() && details->is_object()) {
    usage.cached_input = IntOr(*details, "cached_tokens");
  }
}

void ReadHead(const Json& root, Answer& answer) {
  answer.completion_id = StringOr(root, "id", answer.completion_id);
  answer.model = StringOr(root, "model", answer.model);
  answer.system_fingerprint = StringOr(root, "system_fingerprint", answer.system_fingerprint);
  ReadUsage(root, answer.usage);
}

// Arguments are JSON inside a string: compared as JSON where they are valid, as text where they are
// not.
Json ToolCallForm(const std::string& name, const std::string& arguments) {
  Json parsed = ParseJson(arguments).value_or(Json(arguments));
  return {{"name", name}, {"arguments", std::move(parsed)}};
}

std::string CanonicalText(const Json& value) { return CanonicalJson(value).value_or(value.dump()); }

const Json* FirstChoice(const Json& root) {
  const auto choices = root.find("choices");
  if (choices == root.end() || !choices->is_array() || choices->empty()) return nullptr;
  const Json& choice = choices->front();
  return choice.is_object() ? &choice : nullptr;
}

}  // namespace

std::string_view ToString(CallStatus status) {
  switch (status) {
    case CallStatus::kOk:
      return "OK";
    case CallStatus::kConnectFailed:
      return "CONNECT_FAILED";
    case CallStatus::kTimeout:
      return "TIMEOUT";
    case CallStatus::kHttpError:
      return "HTTP_ERROR";
    case CallStatus::kBroken:
      return "BROKEN";
    case CallStatus::kTooLarge:
      return "TOO_LARGE";
    case CallStatus::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

absl::StatusOr<Answer> ParseCompletion(std::string_view body) {
  const Json root = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return absl::InvalidArgumentError("the answer is not a JSON object");
  const Json* choice = FirstChoice(root);
  if (choice == nullptr) return absl::InvalidArgumentError("the answer has no choices");
  const auto message = choice->find("message");
  if (message == choice->end() || !message->is_object()) {
    return absl::InvalidArgumentError("choices[0].message is missing");
  }
  Answer answer;
  answer.http_status = 200;
  ReadHead(root, answer);
  answer.content = StringOr(*message, "content");
  answer.finish_reason = StringOr(*choice, "finish_reason");
  const auto tools = message->find("tool_calls");
  if (tools != message->end() && tools->is_array() && !tools->empty()) {
    Json forms = Json::array();
    for (const Json& call : *tools) {
      const Json function =
          call.is_object() ? call.value("function", Json::object()) : Json::object();
      forms.push_back(ToolCallForm(StringOr(function, "name"), StringOr(function, "arguments")));
    }
    answer.tool_calls = CanonicalText(forms);
  }
  return answer;
}

bool Answer::IsWhole() const {
  return status == CallStatus::kOk && finish_reason != "length" &&
         finish_reason != "content_filter";
}

std::optional<ChunkUsage> UsageOfChunk(std::string_view data) {
  // Most chunks carry none: they are not parsed.
  if (data.find("\"usage\"") == std::string_view::npos) return std::nullopt;
  const Json chunk = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!chunk.is_object()) return std::nullopt;
  const auto numbers = chunk.find("usage");
  if (numbers == chunk.end() || !numbers->is_object()) return std::nullopt;
  ChunkUsage found;
  ReadUsage(chunk, found.usage);
  const auto choices = chunk.find("choices");
  found.alone = choices != chunk.end() && choices->is_array() && choices->empty();
  return found;
}

void AnswerAssembler::Feed(std::string_view bytes) {
  if (too_large_) return;
  seen_ += bytes.size();
  if (seen_ > max_bytes_) {
    too_large_ = true;
    return;
  }
  parser_.Feed(bytes, [this](std::string_view data, std::string_view) { OnEvent(data); });
}

void AnswerAssembler::OnEvent(std::string_view data) {
  if (data.empty()) return;
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const Json root = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    error_ = "an event of the stream is not a JSON object";
    return;
  }
  if (const auto error = root.find("error"); error != root.end() && error->is_object()) {
    error_ = absl::StrCat("the upstream reported: ", StringOr(*error, "message"));
    return;
  }
  ReadHead(root, answer_);
  const Json* choice = FirstChoice(root);
  if (choice == nullptr || IntOr(*choice, "index") != 0) return;
  answer_.finish_reason = StringOr(*choice, "finish_reason", answer_.finish_reason);
  const auto delta = choice->find("delta");
  if (delta == choice->end() || !delta->is_object()) return;
  answer_.content += StringOr(*delta, "content");
  const auto tools = delta->find("tool_calls");
  if (tools == delta->end() || !tools->is_array()) return;
  for (const Json& call : *tools) {
    if (!call.is_object()) continue;
    const auto index = static_cast<size_t>(IntOr(call, "index"));
    if (index >= kMaxToolCalls) continue;
    if (tools_.size() <= index) tools_.resize(index + 1);
    const Json function = call.value("function", Json::object());
    if (!function.is_object()) continue;
    tools_[index].name += StringOr(function, "name");
    tools_[index].arguments += StringOr(function, "arguments");
  }
}

Answer AnswerAssembler::Finish() {
  Answer answer = std::move(answer_);
  answer.http_status = 200;
  if (!tools_.empty()) {
    Json forms = Json::array();
    for (const ToolCall& call : tools_) forms.push_back(ToolCallForm(call.name, call.arguments));
    answer.tool_calls = CanonicalText(forms);
  }
  if (too_large_) {
    answer.status = CallStatus::kTooLarge;
    answer.error = absl::StrCat("the answer is larger than ", max_bytes_, " bytes");
  } else if (!error_.empty()) {
    answer.status = CallStatus::kBroken;
    answer.error = error_;
  } else if (!done_ && answer.finish_reason.empty()) {
    answer.status = CallStatus::kBroken;
    answer.error = "the stream ended before the answer did";
  }
  return answer;
}

}  // namespace crossover::router
