// Any template text, contents, arguments and parameters must render or give an error, in bounded
// time; a prompt is a prefix of the row trained on.
//
// The input is template, content, arguments and parameters, with zero bytes between them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "llm/chat/chat_template.h"
#include "llm/tokenizer/byte_level.h"

namespace {

using namespace crossover::llm;

std::shared_ptr<const Tokenizer> Bytes() {
  Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
                           "<|end_header_id|>", "<|eot_id|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  return Tokenizer::Create(std::move(parts)).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const Tokenizer> tokenizer = Bytes();
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string, 4> parts;
  for (std::string& part : parts) {
    part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  }
  const auto chat = ChatTemplate::FromText(parts[0], tokenizer);
  if (!chat.ok()) return 0;
  const std::vector<ChatMessage> prompt = {{.role = "system", .content = parts[1]},
                                           {.role = "user", .content = parts[1]}};
  std::vector<ChatMessage> whole = prompt;
  whole.push_back({.role = "assistant", .content = parts[1]});
  const auto ids = (*chat)->Prompt(prompt);
  const auto row = (*chat)->Training(whole);
  // A row that is taken begins with what serving would ask.
  if (ids.ok() && row.ok() &&
      (row->ids.size() < ids->size() || !std::equal(ids->begin(), ids->end(), row->ids.begin())))
    __builtin_trap();
  whole.push_back({.role = "assistant", .tool_calls = {{"f", parts[2]}}});
  whole.push_back({.role = "tool", .content = parts[1]});
  (void)(*chat)->Render(whole, {{"f", parts[1], parts[3]}}, true);
  return 0;
}
