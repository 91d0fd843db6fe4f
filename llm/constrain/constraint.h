// What an answer must look like, compiled for a vocabulary; and how far an answer has got.
//
// A token may come next if its bytes keep the answer the beginning of an allowed text, no matter
// how the text is cut into tokens; the answer may end where it is an allowed text. Which texts that
// are is said in spec.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/constrain/automaton.h"
#include "llm/constrain/spec.h"
#include "llm/constrain/threads.h"
#include "llm/constrain/token_mask.h"
#include "llm/constrain/vocabulary.h"

namespace crossover::llm {

// Immutable and thread-safe, but for masks that are found when first needed and kept.
class Constraint {
 public:
  Constraint(constrain::Automaton automaton, std::shared_ptr<const TokenVocabulary> vocabulary,
             std::shared_ptr<constrain::MaskCache> masks);

  const constrain::Automaton& automaton() const { return automaton_; }
  const TokenVocabulary& vocabulary() const { return *vocabulary_; }
  std::shared_ptr<const constrain::LocalMask> MaskAt(int32_t node) const;

 private:
  const constrain::Automaton automaton_;
  const std::shared_ptr<const TokenVocabulary> vocabulary_;
  const std::shared_ptr<constrain::MaskCache> masks_;
  const std::vector<uint64_t> classes_;  // Of nodes; keys of masks_.
};

// One answer on its way. Not thread-safe; different answers are independent.
class ConstraintState {
 public:
  explicit ConstraintState(std::shared_ptr<const Constraint> constraint);

  // Goes on by the token if it may come next; false, and no change, if not.
  bool Accept(int32_t token);

  // The text is whole.
  bool may_end() const { return threads_.ends; }
  // Nothing may follow.
  bool finished() const { return threads_.open.empty(); }

  // Sets the logits of all tokens that may not come next to minus infinity; of `end_ids` where the
  // text may not end, and of tokens beyond the vocabulary. False if none is left: the vocabulary
  // lacks a byte that the text needs.
  bool Restrict(std::span<const int32_t> end_ids, std::span<float> logits);

 private:
  void AddTokens(const constrain::Thread& thread, constrain::TokenSet& allowed);

  const std::shared_ptr<const Constraint> constraint_;
  constrain::Stacks stacks_;
  constrain::Threads threads_;
};

struct ConstraintCompilerOptions {
  int64_t mask_bytes = int64_t{64} << 20;  // Masks kept, for all constraints together.
  int64_t constraint_nodes = 400'000;      // Nodes of the constraints kept (some 100 bytes each).
};

// Compiles each constraint once and keeps those used last. Thread-safe.
class ConstraintCompiler {
 public:
  explicit ConstraintCompiler(std::shared_ptr<const TokenVocabulary> vocabulary,
                              ConstraintCompilerOptions options = {});

  // As CompileAutomaton of spec.h.
  absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const ConstraintSpec& spec);

 private:
  const std::shared_ptr<const TokenVocabulary> vocabulary_;
  const std::shared_ptr<constrain::MaskCache> masks_;
  constrain::Lru<std::string, Constraint> constraints_;  // By the spec's canonical text.
};

}  // namespace crossover::llm
