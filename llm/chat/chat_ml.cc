#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/families.h"
#include "llm/chat/python_text.h"

namespace crossover::llm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<|im_end|>";

// The text between "<|im_start|>system\n" and "<|im_end|>" where the template writes it out; line
// breaks may be real or "\n".
std::string FindDefaultSystem(std::string_view jinja) {
  const std::string marker = absl::StrCat(ToAbsl(kStart), "system");
  for (size_t at = jinja.find(marker); at != std::string_view::npos;
       at = jinja.find(marker, at + 1)) {
    std::string_view rest = jinja.substr(at + marker.size());
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const std::string_view text = rest.substr(0, rest.find(kEnd));
    // A quote or brace means that the text is put together from parts, so it is no constant.
    if (!text.empty() && text.size() < rest.size() &&
        text.find_first_of("'\"{}") == std::string_view::npos) {
      return std::string(text);
    }
  }
  return "";
}

absl::StatusOr<Json> ParseJson(const std::string& text, std::string_view what) {
  Json value = Json::parse(text.empty() ? "{}" : text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded())
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 std::string(what) + " is not valid JSON");
  return value;
}

// Qwen2.5's tool section, which follows the system text.
absl::StatusOr<std::string> ToolSection(const std::vector<ChatTool>& tools) {
  std::string out =
      "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (size_t i = 0; i < tools.size(); ++i) {
    ASSIGN_OR_RETURN(const Json parameters,
                     ParseJson(tools[i].parameters, absl::StrCat("tools[", i, "].parameters")));
    const Json tool = {{"type", "function"},
                       {"function",
                        {{"name", tools[i].name},
                         {"description", tools[i].description},
                         {"parameters", parameters}}}};
    absl::StrAppend(&out, "\n", ToPythonJson(tool));
  }
  absl::StrAppend(
      &out,
      "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
      "within "
      "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
      "<args-json-object>}\n</tool_call>");
  return out;
}

absl::StatusOr<std::string> ToolCalls(const ChatMessage& message, size_t index) {
  std::string out;
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const ToolCall& call = message.tool_calls[i];
    ASSIGN_OR_RETURN(const Json arguments,
                     ParseJson(call.arguments, absl::StrCat("messages[", index, "].tool_calls[", i,
                                                            "].function.arguments")));
    absl::StrAppend(&out, out.empty() && message.content.empty() ? "" : "\n",
                    "<tool_call>\n{\"name\": \"", call.name,
                    "\", \"arguments\": ", ToPythonJson(arguments), "}\n</tool_call>");
  }
  return out;
}

bool IsSystem(const ChatMessage& message) {
  return message.role == "system" || message.role == "developer";
}

}  // namespace

ChatMlTemplate::ChatMlTemplate(std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer)
    : ChatTemplate(tokenizer, std::string(kEnd), EndTokens(*tokenizer, {kEnd, "<|endoftext|>"})),
      default_system_(FindDefaultSystem(jinja)),
      groups_tool_answers_(jinja.find("<tool_response>") != std::string_view::npos),
      trims_(jinja.find("content'] | trim") != std::string_view::npos ||
             jinja.find("content | trim") != std::string_view::npos) {}

absl::StatusOr<std::vector<ChatTemplate::Piece>> ChatMlTemplate::Pieces(
    const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
    bool for_answer) const {
  std::vector<Piece> pieces;
  const std::string end_turn = absl::StrCat(ToAbsl(kEnd), "\n");
  std::string tool_section;
  if (!tools.empty()) {
    ASSIGN_OR_RETURN(tool_section, ToolSection(tools));
  }
  const bool has_system = IsSystem(messages.front());
  if (!has_system && !(default_system_.empty() && tool_section.empty())) {
    pieces.push_back({absl::StrCat(ToAbsl(kStart), "system\n", default_system_)});
    pieces.push_back({tool_section, false});
    pieces.push_back({end_turn});
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    std::string content(trims_ ? Strip(message.content) : std::string_view(message.content));
    if (message.role == "assistant") {
      pieces.push_back({absl::StrCat(ToAbsl(kStart), "assistant\n")});
      ASSIGN_OR_RETURN(const std::string calls, ToolCalls(message, i));
      pieces.push_back({content + calls, false, static_cast<int>(i)});
      pieces.push_back({std::string(kEnd), true, static_cast<int>(i)});
      pieces.push_back({"\n"});
    } else if (message.role == "tool" && groups_tool_answers_) {
      const bool first = i == 0 || messages[i - 1].role != "tool";
      const bool last = i + 1 == messages.size() || messages[i + 1].role != "tool";
      pieces.push_back({absl::StrCat(first ? "<|im_start|>user" : "", "\n<tool_response>\n")});
      pieces.push_back({content, false});
      pieces.push_back({absl::StrCat("\n</tool_response>", last ? end_turn : "")});
    } else if (IsSystem(message) || message.role == "user" || message.role == "tool") {
      const std::string role = IsSystem(message) ? "system" : message.role;
      pieces.push_back({absl::StrCat(ToAbsl(kStart), role, "\n")});
      pieces.push_back({i == 0 && has_system ? content + tool_section : content, false});
      pieces.push_back({end_turn});
    } else {
      return BadMessage(
          i, "role",
          absl::StrCat("is '", message.role, "'; system, developer, user, assistant or tool"));
    }
  }
  if (for_answer) pieces.push_back({absl::StrCat(ToAbsl(kStart), "assistant\n")});
  return pieces;
}

}  // namespace crossover::llm
