#include "common/prompt/prompt_spec.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/prompt/template.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::prompt {
namespace {

absl::Status Bad(std::string_view field, std::string_view what) {
  return Error(
      absl::StatusCode::kInvalidArgument, absl::StrCat(ToAbsl(field), " ", ToAbsl(what)),
      {.reason = "PROMPT_INVALID", .violations = {{std::string(field), std::string(what)}}});
}

absl::Status CheckCarried(std::string_view field, const std::string& text, bool array) {
  if (text.empty()) return absl::OkStatus();
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) return Bad(field, "is not valid JSON");
  if (array ? !value.is_array() : !value.is_object())
    return Bad(field, array ? "must be an array" : "must be an object");
  return absl::OkStatus();
}

bool IsTemplateRole(std::string_view role) {
  return role == "system" || role == "developer" || role == "user" || role == "assistant";
}

absl::StatusOr<Template> CheckMessage(const TemplateMessage& message,
                                      const std::set<std::string>& known, const std::string& path) {
  if (!IsTemplateRole(message.role)) {
    return Bad(path + ".role", absl::StrCat("is `", message.role,
                                            "`: must be system, developer, user or assistant"));
  }
  absl::StatusOr<Template> text = Template::Parse(message.content);
  if (!text.ok()) return WithContext(text.status(), path + ".content");
  if (absl::Status status = text->CheckNames(known); !status.ok())
    return WithContext(status, path + ".content");
  return text;
}

absl::Status CheckMessages(const PromptSpec& spec) {
  const std::set<std::string> known = VariableNames(spec);
  bool uses_input = false;
  for (size_t i = 0; i < spec.messages.size(); ++i) {
    ASSIGN_OR_RETURN(const Template text,
                     CheckMessage(spec.messages[i], known, absl::StrCat("messages[", i, "]")));
    uses_input |= text.Names().contains(std::string(kInput));
  }
  if (uses_input) return absl::OkStatus();
  return Bad("messages",
             "never use {{input}}: add a user message such as "
             "{\"role\":\"user\",\"content\":\"{{input}}\"}");
}

absl::Status CheckFewShot(const PromptSpec& spec) {
  for (size_t i = 0; i < spec.few_shot.size(); ++i) {
    if (dataset::AnswerOf(spec.few_shot[i]) != nullptr && spec.few_shot[i].messages.size() > 1)
      continue;
    return Bad(absl::StrCat("few_shot[", i, "].messages"),
               "must hold an input and end with the assistant's answer");
  }
  return absl::OkStatus();
}

absl::Status CheckSampling(const Sampling& sampling) {
  if (sampling.temperature && !(*sampling.temperature >= 0 && *sampling.temperature <= 2)) {
    return Bad("sampling.temperature", "must be between 0 and 2");
  }
  if (sampling.top_p && !(*sampling.top_p > 0 && *sampling.top_p <= 1)) {
    return Bad("sampling.top_p", "must be over 0 and at most 1");
  }
  if (sampling.top_k && *sampling.top_k < 0)
    return Bad("sampling.top_k", "must be 0 (off) or more");
  if (sampling.max_tokens && *sampling.max_tokens < 1)
    return Bad("sampling.max_tokens", "must be 1 or more");
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> VariableNames(const PromptSpec& spec) {
  std::set<std::string> names = {std::string(kInput)};
  const nlohmann::json schema = nlohmann::json::parse(spec.variables, nullptr, false);
  if (!schema.is_object()) return names;
  const auto properties = schema.find("properties");
  if (properties == schema.end() || !properties->is_object()) return names;
  for (const auto& [name, value] : properties->items()) names.insert(name);
  return names;
}

absl::Status Validate(const PromptSpec& spec) {
  RETURN_IF_ERROR(CheckCarried("variables", spec.variables, false));
  RETURN_IF_ERROR(CheckCarried("dynamic_few_shot", spec.dynamic_few_shot, false));
  RETURN_IF_ERROR(CheckCarried("steps", spec.steps, true));
  RETURN_IF_ERROR(CheckCarried("retrieval", spec.retrieval, false));
  RETURN_IF_ERROR(CheckCarried("response_format", spec.response_format, false));
  RETURN_IF_ERROR(CheckMessages(spec));
  RETURN_IF_ERROR(CheckFewShot(spec));
  return CheckSampling(spec.sampling);
}

}  // namespace crossover::prompt
