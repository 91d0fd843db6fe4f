#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "llm/chat/families.h"
#include "llm/chat/python_text.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kBegin = "<|begin_of_text|>";
constexpr std::string_view kEndOfTurn = "<|eot_id|>";

std::string Header(std::string_view role) {
  return absl::StrCat("<|start_header_id|>", ToAbsl(role), "<|end_header_id|>\n\n");
}

bool IsSystem(const ChatMessage& message) {
  return message.role == "system" || message.role == "developer";
}

}  // namespace

Llama3Template::Llama3Template(std::string_view jinja, std::shared_ptr<const Tokenizer> tokenizer,
                               std::string date)
    : ChatTemplate(tokenizer, std::string(kEndOfTurn),
                   EndTokens(*tokenizer, {kEndOfTurn, "<|end_of_text|>", "<|eom_id|>"})),
      has_date_block_(jinja.find("Cutting Knowledge Date") != std::string_view::npos),
      date_(std::move(date)) {}

absl::StatusOr<std::vector<ChatTemplate::Piece>> Llama3Template::Pieces(
    const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
    bool for_answer) const {
  if (!tools.empty()) {
    return Error(
        absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
        "tools are not supported with a Llama 3 chat template; put them into the system message");
  }
  std::vector<Piece> pieces = {{std::string(kBegin)}};
  size_t first = 0;
  if (has_date_block_) {
    pieces.push_back({absl::StrCat(
        Header("system"), "Cutting Knowledge Date: December 2023\nToday Date: ", date_, "\n\n")});
    if (IsSystem(messages.front())) {
      pieces.push_back({std::string(Strip(messages.front().content)), false});
      first = 1;
    }
    pieces.push_back({std::string(kEndOfTurn)});
  }
  for (size_t i = first; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const std::string content(Strip(message.content));
    if (!message.tool_calls.empty()) {
      return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                   absl::StrCat("messages[", i,
                                "].tool_calls are not supported with a Llama 3 chat template"));
    }
    if (message.role == "assistant") {
      pieces.push_back({Header("assistant")});
      pieces.push_back({content, false, static_cast<int>(i)});
      pieces.push_back({std::string(kEndOfTurn), true, static_cast<int>(i)});
    } else if (message.role == "tool") {
      pieces.push_back({Header("ipython")});
      pieces.push_back({ToPythonJson(message.content), false});
      pieces.push_back({std::string(kEndOfTurn)});
    } else if (IsSystem(message) || message.role == "user") {
      pieces.push_back({Header(IsSystem(message) ? "system" : "user")});
      pieces.push_back({content, false});
      pieces.push_back({std::string(kEndOfTurn)});
    } else {
      return BadMessage(
          i, "role",
          absl::StrCat("is '", message.role, "'; system, developer, user, assistant or tool"));
    }
  }
  if (for_answer) pieces.push_back({Header("assistant")});
  return pieces;
}

}  // namespace crossover::llm
