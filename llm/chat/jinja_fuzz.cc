// Any template must be refused or rendered, in bounded time and memory, and every byte of the
// output must have a source. The input is the template and a JSON text for its variable `x`, with a
// zero byte between them.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "llm/chat/jinja.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm::jinja;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view source = input.substr(0, input.find('\0'));
  const std::string_view json = input.substr(std::min(source.size() + 1, input.size()));
  const auto program = Program::Compile(source);
  if (!program.ok()) return 0;
  const auto value = nlohmann::ordered_json::parse(json.substr(0, 1000), nullptr, false);
  Dict variables;
  variables.Set(Text("x"), Value::FromJson(value.is_discarded() ? nullptr : value, 1));
  const auto rendered = (*program)->Render(std::move(variables));
  if (!rendered.ok()) return 0;
  size_t end = 0;
  for (const Text::Run& run : rendered->text.runs()) {
    if (run.end <= end) __builtin_trap();
    end = run.end;
  }
  if (end != rendered->text.size()) __builtin_trap();
  for (const auto& [from, to] : rendered->generations) {
    if (from > to || to > end) __builtin_trap();
  }
  return 0;
}
