#include "common/prompt/render.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::prompt {
namespace {

using dataset::Message;
using dataset::Row;

bool IsSystem(std::string_view role) { return role == "system" || role == "developer"; }

// Where the leading system messages end and the examples go.
size_t EndOfSystem(const PromptSpec& spec) {
  size_t end = 0;
  while (end < spec.messages.size() && IsSystem(spec.messages[end].role)) ++end;
  return end;
}

absl::StatusOr<Message> RenderMessage(const TemplateMessage& message, const Variables& variables) {
  ASSIGN_OR_RETURN(const Template text, Template::Parse(message.content));
  ASSIGN_OR_RETURN(std::string content, text.Render(variables));
  return Message{.role = message.role, .content = std::move(content)};
}

absl::Status RenderRange(const PromptSpec& spec, size_t begin, size_t end,
                         const Variables& variables, std::vector<Message>& out) {
  for (size_t i = begin; i < end; ++i) {
    absl::StatusOr<Message> message = RenderMessage(spec.messages[i], variables);
    if (!message.ok())
      return WithContext(message.status(), absl::StrCat("messages[", i, "].content"));
    out.push_back(*std::move(message));
  }
  return absl::OkStatus();
}

// The user turn of an example that has exactly one and nothing but its answer after it; null
// otherwise.
const Message* OnlyUserTurn(const Row& row) {
  const Message* user = nullptr;
  for (const Message& message : row.messages) {
    if (IsSystem(message.role) || &message == &row.messages.back()) continue;
    if (message.role != "user" || user != nullptr) return nullptr;
    user = &message;
  }
  return user;
}

Message WithoutWeight(Message message) {
  message.weight.reset();
  return message;
}

// The values that an example gives the template's other variables.
void PutExampleVariables(const Row& row, Variables& variables) {
  const nlohmann::json fields = nlohmann::json::parse(row.fields, nullptr, false);
  if (!fields.is_object()) return;
  for (const auto& [name, value] : fields.items()) {
    if (value.is_string()) variables[name] = value.get<std::string>();
  }
}

absl::Status RenderExample(const PromptSpec& spec, const Row& row, Variables variables,
                           std::vector<Message>& out) {
  if (const Message* user = OnlyUserTurn(row)) {
    PutExampleVariables(row, variables);
    variables[std::string(kInput)] = dataset::TextOf(*user);
    RETURN_IF_ERROR(RenderRange(spec, EndOfSystem(spec), spec.messages.size(), variables, out));
    out.push_back(WithoutWeight(row.messages.back()));
    return absl::OkStatus();
  }
  for (const Message& message : row.messages) {
    if (!IsSystem(message.role)) out.push_back(WithoutWeight(message));
  }
  return absl::OkStatus();
}

absl::Status CheckVariables(const PromptSpec& spec, const Variables& variables) {
  const std::set<std::string> known = VariableNames(spec);
  for (const auto& [name, value] : variables) {
    if (known.contains(name)) continue;
    return Error(absl::StatusCode::kInvalidArgument, "PROMPT_INVALID",
                 absl::StrCat("variable `", name,
                              "` was given a value, but the prompt does not declare it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Message>> RenderAll(const PromptSpec& spec, const Variables& variables,
                                               const std::vector<Message>& history) {
  RETURN_IF_ERROR(CheckRenderable(spec));
  RETURN_IF_ERROR(CheckVariables(spec, variables));
  std::vector<Message> out;
  const size_t system_end = EndOfSystem(spec);
  RETURN_IF_ERROR(RenderRange(spec, 0, system_end, variables, out));
  for (size_t i = 0; i < spec.few_shot.size(); ++i) {
    const absl::Status status = RenderExample(spec, spec.few_shot[i], variables, out);
    if (!status.ok()) return WithContext(status, absl::StrCat("few_shot[", i, "]"));
  }
  out.insert(out.end(), history.begin(), history.end());
  RETURN_IF_ERROR(RenderRange(spec, system_end, spec.messages.size(), variables, out));
  return out;
}

}  // namespace

absl::Status CheckRenderable(const PromptSpec& spec) {
  const char* what = nullptr;
  if (spec.strategy != Strategy::kSingle) what = "a strategy other than SINGLE";
  if (!spec.dynamic_few_shot.empty()) what = "dynamic few-shot examples";
  if (!spec.retrieval.empty()) what = "retrieval";
  if (what == nullptr) return absl::OkStatus();
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat("this prompt asks for ", what,
                            ", which cannot be rendered yet; use SINGLE with static examples"));
}

absl::StatusOr<std::vector<Message>> Render(const PromptSpec& spec, const Variables& variables) {
  return RenderAll(spec, variables, {});
}

absl::StatusOr<std::vector<Message>> RenderChat(const PromptSpec& spec,
                                                const std::vector<Message>& request,
                                                Variables variables) {
  const auto last_user = std::find_if(request.rbegin(), request.rend(), [](const Message& message) {
    return message.role == "user";
  });
  if (last_user == request.rend()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "messages holds no user message: it is the input of the route's prompt");
  }
  std::vector<Message> history;
  for (auto message = request.begin(); message != last_user.base() - 1; ++message) {
    if (!IsSystem(message->role)) history.push_back(*message);
  }
  variables[std::string(kInput)] = dataset::TextOf(*last_user);
  ASSIGN_OR_RETURN(std::vector<Message> out, RenderAll(spec, variables, history));
  // What follows the last user message (tool calls in progress) belongs after the rendered input.
  for (auto message = last_user.base(); message != request.end(); ++message) {
    if (!IsSystem(message->role)) out.push_back(*message);
  }
  return out;
}

}  // namespace crossover::prompt
