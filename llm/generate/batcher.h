// Continuous batching: which sequences compute which tokens in the next step. Sees torch. One
// thread; the engine adds locks.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "llm/generate/model_runner.h"
#include "llm/generate/sequence.h"

namespace crossover::llm {

class Batcher {
 public:
  // Borrows the model.
  Batcher(const BaseModel& base, EngineOptions options);

  // Pages a sequence may need at most.
  int64_t PagesFor(int64_t tokens) const { return (tokens + kPageTokens - 1) / kPageTokens; }
  int64_t total_pages() const { return pool_.total_pages(); }

  void Enqueue(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }
  void Cancel(RequestId id);
  // Ends everything with Cancelled.
  void CancelAll();
  // An adapter was unloaded or replaced: its unused cache entries go.
  void Forget(uint64_t registration) { tree_.Forget(registration); }

  bool idle() const { return waiting_.empty() && running_.empty(); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }

  // Admits what fits, computes one step, reports what it gave.
  void Step();

  EngineStats stats() const;

 private:
  // Tokens that one running sequence computes in a step.
  struct Share {
    Sequence* sequence = nullptr;
    int64_t count = 0;
    int64_t first_logit = 0;  // Of its rows in the logits.
    int64_t logits = 0;
  };

  void Admit();
  bool TryAdmit(Sequence& sequence);
  std::vector<Share> Shares() const;
  StepInput Compose(std::vector<Share>& shares) const;
  void AcceptScores(const Share& share, const at::Tensor& logits);
  void AcceptToken(Sequence& sequence, GeneratedToken token);
  void Finish(Sequence& sequence, FinishReason reason);
  void FinishScore(Sequence& sequence, const absl::Status& status);
  void Fail(const std::vector<Share>& shares, const absl::Status& status);
  void Release(Sequence& sequence);
  void Remove(const Sequence* sequence);

  const BaseModel& base_;
  EngineOptions options_;
  KvPool pool_;
  PrefixTree tree_;
  ModelRunner runner_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // By admission.
  EngineStats totals_;
};

}  // namespace crossover::llm
