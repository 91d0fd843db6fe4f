// Helpers for tests of this room.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llm/constrain/spec.h"
#include "llm/constrain/threads.h"
#include "llm/constrain/vocabulary.h"

namespace crossover::llm::constrain {

// Reads texts byte by byte, without any vocabulary. Borrows the automaton.
class TextReader {
 public:
  explicit TextReader(const Automaton& automaton)
      : automaton_(&automaton),
        threads_(Close(automaton, stacks_, {{automaton.entry(), Stacks::kBottom}})) {}

  // False if the text so far is the beginning of no allowed text.
  bool Read(std::string_view text) {
    for (const char c : text)
      threads_ = Step(*automaton_, stacks_, threads_, static_cast<uint8_t>(c));
    return !threads_.dead();
  }
  bool whole() const { return threads_.ends; }
  bool finished() const { return threads_.open.empty(); }

 private:
  const Automaton* automaton_;
  Stacks stacks_;
  Threads threads_;
};

inline bool Allows(const Automaton& automaton, std::string_view text) {
  TextReader reader(automaton);
  return reader.Read(text) && reader.whole();
}

inline ConstraintSpec SchemaSpec(std::string schema) {
  return {.kind = ConstraintSpec::Kind::kJsonSchema, .text = std::move(schema)};
}

inline ConstraintSpec RegexSpec(std::string pattern) {
  return {.kind = ConstraintSpec::Kind::kRegex, .text = std::move(pattern)};
}

// All bytes as tokens 0 to 255, then control token 256 without bytes (the end), then these.
inline constexpr int32_t kEndToken = 256;
inline std::vector<std::string> TokensWithBytes(std::vector<std::string> more) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back();
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

}  // namespace crossover::llm::constrain
