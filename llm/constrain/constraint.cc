#include "llm/constrain/constraint.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/status/status_macros.h"

namespace crossover::llm {

using constrain::Close;
using constrain::LazyTable;
using constrain::LocalMask;
using constrain::Stacks;
using constrain::Thread;
using constrain::Threads;
using constrain::TokenSet;

namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

// True if any logit is left.
bool Forbid(const TokenSet& allowed, std::span<float> logits) {
  bool any = false;
  const std::vector<uint64_t>& words = allowed.words();
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t word = begin / 64 < words.size() ? words[begin / 64] : 0;
    const size_t count = std::min<size_t>(64, logits.size() - begin);
    any |= word != 0;
    if (word == ~uint64_t{0}) continue;
    for (size_t i = 0; i < count; ++i)
      logits[begin + i] = word >> i & 1 ? logits[begin + i] : kImpossible;
  }
  return any;
}

}  // namespace

Constraint::Constraint(constrain::Automaton automaton,
                       std::shared_ptr<const TokenVocabulary> vocabulary,
                       std::shared_ptr<constrain::MaskCache> masks)
    : automaton_(std::move(automaton)),
      vocabulary_(std::move(vocabulary)),
      masks_(std::move(masks)),
      classes_(automaton_.Classes(vocabulary_->longest())) {}

std::shared_ptr<const LocalMask> Constraint::MaskAt(int32_t node) const {
  if (auto mask = masks_->Find(classes_[node])) return mask;
  auto mask = std::make_shared<const LocalMask>(constrain::MaskOf(automaton_, *vocabulary_, node));
  const int64_t bytes = mask->bytes();
  return masks_->Put(classes_[node], std::move(mask), bytes);
}

ConstraintState::ConstraintState(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)),
      threads_(Close(constraint_->automaton(), stacks_,
                     {{constraint_->automaton().entry(), Stacks::kBottom}})) {}

bool ConstraintState::Accept(int32_t token) {
  const std::string_view bytes = constraint_->vocabulary().Bytes(token);
  if (bytes.empty()) return false;
  Threads now = threads_;
  for (const char byte : bytes) {
    now = Step(constraint_->automaton(), stacks_, now, static_cast<uint8_t>(byte));
    if (now.dead()) return false;
  }
  threads_ = std::move(now);
  return true;
}

void ConstraintState::AddTokens(const Thread& thread, TokenSet& allowed) {
  const std::shared_ptr<const LocalMask> mask = constraint_->MaskAt(thread.node);
  for (const int32_t id : mask->ids) allowed.Add(id);
  if (mask->set != nullptr) allowed.Add(*mask->set);
  if (mask->escapes.empty() || thread.stack == Stacks::kBottom) return;
  // What these steps push is forgotten: stacks_ keeps what was really written.
  const int32_t frames = stacks_.size();
  const Stacks::Frame frame = stacks_.at(thread.stack);
  LazyTable table(constraint_->automaton(), stacks_);
  int32_t state = table.Add(Close(constraint_->automaton(), stacks_, {{frame.then, frame.parent}}));
  for (const int32_t escape : mask->escapes)
    AddBelow(constraint_->vocabulary(), escape, table, state, allowed);
  stacks_.Truncate(frames);
}

bool ConstraintState::Restrict(std::span<const int32_t> end_ids, std::span<float> logits) {
  TokenSet allowed(
      std::max<int32_t>(constraint_->vocabulary().size(), static_cast<int32_t>(logits.size())));
  for (const Thread& thread : threads_.open) AddTokens(thread, allowed);
  for (const int32_t id : end_ids) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    if (may_end()) {
      allowed.Add(id);
    } else {
      allowed.Remove(id);
    }
  }
  return Forbid(allowed, logits);
}

ConstraintCompiler::ConstraintCompiler(std::shared_ptr<const TokenVocabulary> vocabulary,
                                       ConstraintCompilerOptions options)
    : vocabulary_(std::move(vocabulary)),
      masks_(std::make_shared<constrain::MaskCache>(options.mask_bytes)),
      constraints_(options.constraint_nodes) {}

absl::StatusOr<std::shared_ptr<const Constraint>> ConstraintCompiler::Compile(
    const ConstraintSpec& spec) {
  const std::string key = CanonicalText(spec);
  if (auto found = constraints_.Find(key)) return found;
  ASSIGN_OR_RETURN(constrain::Automaton automaton, CompileAutomaton(spec));
  const int32_t nodes = automaton.size();
  return constraints_.Put(
      key, std::make_shared<const Constraint>(std::move(automaton), vocabulary_, masks_), nodes);
}

}  // namespace crossover::llm
