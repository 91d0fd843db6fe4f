// Continuous batching: which sequences compute which tokens in the next step. No torch. One thread;
// the engine adds locks.
//
// Memory: a sequence is admitted with the pages of its prompt and takes one more whenever its
// answer needs it. When there is none, the sequence admitted last goes back to the head of the
// queue; what it has computed stays in the prefix tree for as long as nobody needs its pages. Every
// sequence in the queue fits into the cache when it is alone there (the engine refuses others), and
// is admitted on top of cached tokens only if it fits beside them; so the first running sequence
// ends, and then the next. (If the beginning it stands on has grown since, because its owner went
// on generating, it may have to go back once, and then does without.)
//
// Order: by priority, then fairly between callers and between the adapters of one (fair_order.h).
// Who waits for memory is passed by nobody behind it. One that waits for another to compute their
// common beginning may be passed; that wait is short.
#pragma once

#include <deque>
#include <exception>
#include <memory>
#include <vector>

#include "llm/generate/fair_order.h"
#include "llm/generate/sequence.h"
#include "llm/generate/step.h"

namespace crossover::llm {

// Pages that hold so many tokens.
inline int64_t PagesFor(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

class Batcher {
 public:
  Batcher(KvShape shape, EngineOptions options, std::unique_ptr<StepRunner> runner);

  int64_t total_pages() const { return pool_.total_pages(); }
  // See StepRunner.
  void BindThread() { runner_->BindThread(); }

  // Prompt and answer (to score or embed: the prompt) need at most total_pages().
  void Enqueue(std::unique_ptr<Sequence> sequence);
  void Cancel(RequestId id);
  // Ends everything with Cancelled.
  void CancelAll();
  // No later request has this adapter: its unused cache entries go.
  void Forget(uint64_t registration) { tree_.Forget(registration); }

  bool idle() const { return waiting_.empty() && running_.empty(); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }

  // Admits what fits, computes one step, reports what it gave. Throws nothing: sequences that
  // cannot be computed end with an error.
  void Step();

  // `queued`: sequences; EngineLoop knows the calls.
  EngineStats stats() const;

 private:
  // Tokens that one running sequence computes in a step.
  struct Share {
    Sequence* sequence = nullptr;
    int64_t count = 0;
    int64_t first_logit = 0;  // Of its rows in the logits.
    int64_t logits = 0;
    int64_t pooled = 0;  // To embed: its range of StepInput::pooled.
    int64_t drafts = 0;  // The last so many of `count` are guesses.
  };
  enum class Admission { kAdmitted, kAwaitsPrefix, kNoMemory };

  void Admit();
  Admission TryAdmit(Sequence& sequence);
  bool FitsBeside(const KvMatch& match, const Sequence& sequence) const;
  void Grow();
  void Preempt();
  void Compute();
  std::vector<Share> Shares() const;
  StepInput Compose(std::vector<Share>& shares) const;
  void AcceptScores(const Share& share, const StepLogits& logits);
  void Draft(std::vector<Share>& shares);
  std::vector<GeneratedToken> Choose(const Share& share, const StepLogits& logits) const;
  void AcceptTokens(const Share& share, std::vector<GeneratedToken> tokens);
  // False if the sequence has ended, and is gone.
  bool AcceptToken(Sequence& sequence, GeneratedToken token);
  void AcceptHidden(Sequence& sequence, const std::vector<float>& sum);
  void FinishEmbedding(Sequence& sequence, const absl::Status& status);
  void Finish(Sequence& sequence, FinishReason reason);
  void FinishScore(Sequence& sequence, const absl::Status& status);
  void Fail(Sequence& sequence, const std::exception& reason);
  void Release(Sequence& sequence);
  void Remove(const Sequence* sequence);

  const EngineOptions options_;
  KvPool pool_;
  PrefixTree tree_;
  const std::unique_ptr<StepRunner> runner_;
  FairOrder order_;
  std::deque<std::unique_ptr<Sequence>> waiting_;   // In the order of admission.
  std::vector<std::unique_ptr<Sequence>> running_;  // By admission.
  EngineStats totals_;
};

}  // namespace crossover::llm
