// Any schema or expression must be refused or compiled, in bounded time and memory. From a compiled
// one a text is written byte by byte, led by the input: there must always be a way on or an end,
// and what a schema lets end must be JSON. The input's first byte says which of the two it is and
// how the text is chosen.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "llm/constrain/testing_constraint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crossover::llm;
  if (size == 0) return 0;
  const bool schema = data[0] % 2 == 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto automaton = CompileAutomaton(
      {.kind = schema ? ConstraintSpec::Kind::kJsonSchema : ConstraintSpec::Kind::kRegex,
       .text = text});
  if (!automaton.ok()) return 0;
  (void)automaton->Classes(8);
  constrain::TextReader reader(*automaton);
  std::string written;
  uint32_t choice = data[0];
  while (!reader.finished() && written.size() < 200) {
    choice = choice * 1664525 + 1013904223 + data[written.size() % size];
    bool found = false;
    for (int i = 0; i < 256 && !found; ++i) {
      const std::string byte(1, static_cast<char>((choice >> 16) + static_cast<uint32_t>(i)));
      constrain::TextReader ahead = reader;
      found = ahead.Read(byte);
      if (!found) continue;
      reader = ahead;
      written += byte;
    }
    if (!found && !reader.whole()) __builtin_trap();
    if (schema && reader.whole() && nlohmann::json::parse(written, nullptr, false).is_discarded())
      __builtin_trap();
  }
  return 0;
}
