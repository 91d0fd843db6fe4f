#include "services/model_server/domain/tool_calls.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"

namespace crossover::inference {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBegin = "<tool_call>";
constexpr std::string_view kEnd = "</tool_call>";

// Where whitespace and the beginning of kBegin at the end of `text` start.
size_t DoubtfulFrom(std::string_view text) {
  size_t from = text.size();
  for (size_t length = std::min(kBegin.size() - 1, text.size()); length > 0; --length) {
    if (!text.ends_with(kBegin.substr(0, length))) continue;
    from -= length;
    break;
  }
  while (from > 0 && absl::ascii_isspace(static_cast<unsigned char>(text[from - 1]))) --from;
  return from;
}

std::optional<llm::ToolCall> ParseCall(std::string_view text) {
  const Json call = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return std::nullopt;
  llm::ToolCall out{.name = call["name"].get<std::string>(), .arguments = "{}"};
  if (call.contains("arguments")) {
    const Json& arguments = call["arguments"];
    out.arguments = arguments.is_string() ? arguments.get<std::string>() : arguments.dump();
  }
  return out;
}

// All calls of a text that holds nothing else; nullopt if it is not so. The last end marker may be
// missing, because a model may end its turn there.
std::optional<std::vector<llm::ToolCall>> ParseCalls(std::string_view text) {
  std::vector<llm::ToolCall> calls;
  const auto skip_space = [&] {
    while (!text.empty() && absl::ascii_isspace(static_cast<unsigned char>(text.front())))
      text.remove_prefix(1);
  };
  for (skip_space(); !text.empty(); skip_space()) {
    if (!text.starts_with(kBegin)) return std::nullopt;
    text.remove_prefix(kBegin.size());
    const size_t end = std::min(text.find(kEnd), text.size());
    std::optional<llm::ToolCall> call = ParseCall(text.substr(0, end));
    if (!call) return std::nullopt;
    calls.push_back(*std::move(call));
    text.remove_prefix(std::min(end + kEnd.size(), text.size()));
  }
  return calls;
}

}  // namespace

std::string ToolCallSplitter::Push(std::string_view piece) {
  held_.append(piece);
  if (in_call_) return "";
  const size_t begin = held_.find(kBegin);
  in_call_ = begin != std::string::npos;
  const size_t certain = DoubtfulFrom(std::string_view(held_).substr(0, begin));
  std::string content = held_.substr(0, certain);
  held_.erase(0, certain);
  return content;
}

ToolCallSplitter::Rest ToolCallSplitter::Finish() {
  std::string rest = std::exchange(held_, "");
  if (!std::exchange(in_call_, false)) return {std::move(rest), {}};
  std::optional<std::vector<llm::ToolCall>> calls = ParseCalls(rest);
  if (!calls) return {std::move(rest), {}};
  return {"", *std::move(calls)};
}

void ToolCallSink::OnPiece(AnswerPiece piece) {
  ToolCallSplitter& splitter = splitters_[piece.index];
  piece.text = splitter.Push(piece.text);
  if (!piece.finish_reason.empty()) {
    ToolCallSplitter::Rest rest = splitter.Finish();
    piece.text += rest.content;
    piece.tool_calls = std::move(rest.calls);
    if (!piece.tool_calls.empty()) piece.finish_reason = "tool_calls";
  }
  next_->OnPiece(std::move(piece));
}

}  // namespace crossover::inference
