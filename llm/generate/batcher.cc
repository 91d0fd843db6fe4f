#include "llm/generate/batcher.h"

#include <algorithm>
#include <exception>
#include <span>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "llm/generate/sampler.h"

namespace crossover::llm {

namespace {

// Shorter common beginnings are computed again rather than chained to.
constexpr int64_t kMinMatch = 16;
// A sequence waits for another that is about to compute at least this many tokens of their common
// beginning.
constexpr int64_t kWorthWaiting = 16;

double SecondsSince(SteadyTime start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t Known(const KvNode& node) { return static_cast<int64_t>(node.tokens.size()); }

int64_t Uncomputed(const Sequence& sequence) {
  return Known(*sequence.tail) - sequence.tail->computed;
}

// Tokens that the sequence may still add to its prompt.
int64_t StillToGenerate(const Sequence& sequence) {
  if (!sequence.generates()) return 0;
  return sequence.sampling.max_tokens - static_cast<int64_t>(sequence.result.tokens.size());
}

// The beginning it waits for is still being computed.
bool AwaitsPrefix(const Sequence& sequence) {
  const std::shared_ptr<const KvNode> node = sequence.awaited.lock();
  return node != nullptr && node->computed < std::min(sequence.awaited_tokens, Known(*node));
}

}  // namespace

Batcher::Batcher(KvShape shape, EngineOptions options, std::unique_ptr<StepRunner> runner)
    : options_(std::move(options)),
      pool_(shape, options_.kv_budget_bytes),
      runner_(std::move(runner)) {}

void Batcher::Enqueue(std::unique_ptr<Sequence> sequence) {
  order_.Join(std::move(sequence), waiting_);
}

void Batcher::Admit() {
  auto it = waiting_.begin();
  while (it != waiting_.end() && static_cast<int>(running_.size()) < options_.max_batch_rows) {
    Admission admission;
    try {
      admission = TryAdmit(**it);
    } catch (const std::exception& e) {
      return Fail(**it, e);
    }
    if (admission == Admission::kNoMemory) return;
    if (admission == Admission::kAwaitsPrefix) {
      ++it;
      continue;
    }
    order_.Admitted(**it);
    (*it)->stay.EndWaiting();
    running_.push_back(std::move(*it));
    it = waiting_.erase(it);
  }
}

// Alone in the cache, the sequence can be computed to its end on top of the match.
bool Batcher::FitsBeside(const KvMatch& match, const Sequence& sequence) const {
  const int64_t own = static_cast<int64_t>(sequence.prompt.size()) - match.length;
  int64_t pages = PagesFor(own + StillToGenerate(sequence));
  for (const KvNode* node = match.node.get(); node != nullptr; node = node->parent.get())
    pages += static_cast<int64_t>(node->pages.size());
  return pages <= pool_.total_pages();
}

// Attaches the sequence to the longest computed beginning and takes the pages of the rest of its
// prompt.
Batcher::Admission Batcher::TryAdmit(Sequence& sequence) {
  if (AwaitsPrefix(sequence)) return Admission::kAwaitsPrefix;
  // At least one token is computed, for its logits; to score, all from the token before the
  // continuation; to embed, all.
  const int64_t length = static_cast<int64_t>(sequence.prompt.size());
  const int64_t last = sequence.score != nullptr   ? sequence.score_from
                       : sequence.embed != nullptr ? 0
                                                   : length - 1;
  const std::span<const int32_t> sharable(sequence.prompt.data(), static_cast<size_t>(last));
  KvMatch match = tree_.Find(sequence.owner, sharable, /*planned=*/false);
  if (const KvMatch planned = tree_.Find(sequence.owner, sharable, /*planned=*/true);
      planned.length >= match.length + kWorthWaiting) {
    sequence.awaited = planned.node;
    sequence.awaited_tokens = planned.used;
    return Admission::kAwaitsPrefix;
  }
  // From here on `match` alone may hold nodes, or they could not be evicted.
  if (match.length < kMinMatch || !FitsBeside(match, sequence)) match = {};

  const int64_t pages = PagesFor(length - match.length);
  // One more for every row, or the next page boundary would undo the admission.
  const int64_t spare = running_.empty() ? 0 : static_cast<int64_t>(running_.size()) + 1;
  if (!tree_.Evict(pool_, pages + spare)) return Admission::kNoMemory;
  auto node = std::make_shared<KvNode>(pool_);
  node->owner = sequence.owner;
  node->parent = match.node;
  node->parent_used = match.used;
  node->tokens.assign(sequence.prompt.begin() + match.length, sequence.prompt.end());
  for (int64_t i = 0; i < pages; ++i) node->pages.push_back(pool_.Take());
  for (KvNode* used = match.node.get(); used != nullptr; used = used->parent.get())
    tree_.Touch(*used);
  tree_.Add(node);
  sequence.tail = std::move(node);
  sequence.hidden_sum.clear();
  if (sequence.result.prompt_tokens > 0) return Admission::kAdmitted;  // Has been here before.
  sequence.result.prompt_tokens = length;
  sequence.result.cached_prompt_tokens = match.length;
  sequence.result.queue_seconds = SecondsSince(sequence.submitted);
  totals_.prompt_tokens_total += length;
  totals_.cached_prompt_tokens_total += match.length;
  return Admission::kAdmitted;
}

// Gives every running sequence, the first admitted first, the pages of the tokens it knows.
void Batcher::Grow() {
  for (size_t i = 0; i < running_.size(); ++i) {
    KvNode& tail = *running_[i]->tail;
    while (i < running_.size() && static_cast<int64_t>(tail.pages.size()) < PagesFor(Known(tail))) {
      if (tree_.Evict(pool_, 1)) {
        tail.pages.push_back(pool_.Take());
      } else {
        Preempt();  // Perhaps the sequence itself.
      }
    }
  }
}

// The sequence admitted last goes back to the head of the queue with what it has generated.
void Batcher::Preempt() {
  std::unique_ptr<Sequence> sequence = std::move(running_.back());
  running_.pop_back();
  Release(*sequence);
  sequence->preempted = true;
  waiting_.push_front(std::move(sequence));
  ++totals_.preemptions_total;
}

// Sequences that generate take one token each; prompts share what is left of the step, first come
// first served.
std::vector<Batcher::Share> Batcher::Shares() const {
  int64_t left = options_.max_step_tokens;
  for (const auto& sequence : running_) left -= Uncomputed(*sequence) == 1 ? 1 : 0;
  left = std::max<int64_t>(left, 1);
  std::vector<Share> shares;
  for (const auto& sequence : running_) {
    const int64_t uncomputed = Uncomputed(*sequence);
    if (uncomputed == 1) {
      shares.push_back({sequence.get(), 1});
    } else if (left > 0) {
      shares.push_back({sequence.get(), std::min(uncomputed, left)});
      left -= shares.back().count;
    }
  }
  std::stable_sort(shares.begin(), shares.end(), [](const Share& a, const Share& b) {
    return a.sequence->owner.adapter < b.sequence->owner.adapter;
  });
  return shares;
}

StepInput Batcher::Compose(std::vector<Share>& shares) const {
  StepInput input;
  for (Share& share : shares) {
    Sequence& sequence = *share.sequence;
    KvNode& tail = *sequence.tail;
    const int64_t row = static_cast<int64_t>(input.ids.size());
    const int64_t position = tail.start() + tail.computed;
    input.sequences.push_back({&tail, row, share.count});
    const std::span<const AdapterShare> shares_of =
        sequence.adapter == nullptr ? std::span<const AdapterShare>() : sequence.adapter->shares;
    if (input.adapters.empty() || input.adapters.back().shares.data() != shares_of.data())
      input.adapters.push_back({row, row, shares_of});
    input.adapters.back().end = row + share.count;
    share.first_logit = static_cast<int64_t>(input.logit_rows.size());
    for (int64_t i = 0; i < share.count; ++i) {
      input.ids.push_back(tail.tokens[tail.computed + i]);
      input.positions.push_back(static_cast<int32_t>(position + i));
      const bool wanted =
          sequence.score != nullptr
              ? position + i >= sequence.score_from
              : sequence.generates() && i + 1 + share.drafts >= Uncomputed(sequence);
      if (wanted) input.logit_rows.push_back(static_cast<int32_t>(row + i));
    }
    share.logits = static_cast<int64_t>(input.logit_rows.size()) - share.first_logit;
    if (sequence.embed == nullptr) continue;
    share.pooled = static_cast<int64_t>(input.pooled.size());
    input.pooled.push_back({row, row + share.count});
  }
  return input;
}

void Batcher::Step() {
  Admit();
  try {
    Grow();
    Compute();
  } catch (const std::exception& e) {
    while (!running_.empty()) Fail(*running_.back(), e);
  }
}

void Batcher::Compute() {
  std::vector<Share> shares = Shares();
  if (shares.empty()) return;
  Draft(shares);
  const std::unique_ptr<StepLogits> logits = runner_->Run(Compose(shares));
  ++totals_.steps_total;
  // Choosing tokens is parallel; telling about them is not.
  std::vector<std::vector<GeneratedToken>> tokens(shares.size());
  runner_->ForEach(static_cast<int64_t>(shares.size()), [&](int64_t i) {
    const Share& share = shares[i];
    if (share.logits == 0 || !share.sequence->generates()) return;
    tokens[i] = Choose(share, *logits);
  });
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].sequence->score != nullptr) {
      AcceptScores(shares[i], *logits);
    } else if (shares[i].sequence->embed != nullptr) {
      AcceptHidden(*shares[i].sequence, logits->HiddenSum(shares[i].pooled));
    } else if (shares[i].logits > 0) {
      AcceptTokens(shares[i], std::move(tokens[i]));
    }
  }
}

bool Batcher::AcceptToken(Sequence& sequence, GeneratedToken token) {
  GenerateResult& result = sequence.result;
  if (result.tokens.empty()) result.first_token_seconds = SecondsSince(sequence.submitted);
  ++totals_.generated_tokens_total;
  const std::vector<int32_t>& stops = sequence.sampling.stop_ids;
  if (std::find(stops.begin(), stops.end(), token.id) != stops.end()) {
    Finish(sequence, FinishReason::kStop);
    return false;
  }
  if (token.id < 0) {
    Fail(sequence, std::runtime_error("no token of the vocabulary can continue the answer as its "
                                      "constraint demands"));
    return false;
  }
  sequence.tail->tokens.push_back(token.id);
  sequence.prompt.push_back(token.id);
  GenerateDelta delta;
  if (options_.token_bytes) delta.text = sequence.text.Push(options_.token_bytes(token.id));
  result.text += delta.text;
  result.tokens.push_back(token);
  if (sequence.on_delta) {
    delta.tokens.push_back(std::move(token));
    sequence.on_delta(delta);
  }
  const bool full = static_cast<int64_t>(result.tokens.size()) >= sequence.sampling.max_tokens;
  const bool whole = sequence.constraint != nullptr && sequence.constraint->finished();
  const bool stopped = sequence.text.stopped() || whole;
  if (!stopped && !full) return true;
  Finish(sequence, stopped ? FinishReason::kStop : FinishReason::kLength);
  return false;
}

void Batcher::AcceptScores(const Share& share, const StepLogits& logits) {
  Sequence& sequence = *share.sequence;
  const int64_t first =
      sequence.tail->start() + sequence.tail->computed - share.logits - sequence.score_from;
  std::vector<float>& logprobs = sequence.score->result.logprobs[sequence.place];
  std::vector<char> best(static_cast<size_t>(share.logits));
  runner_->ForEach(share.logits, [&](int64_t i) {
    thread_local std::vector<float> row;
    logits.Row(share.first_logit + i, row);
    const int32_t target = sequence.targets[first + i];
    logprobs[first + i] = static_cast<float>(row[target] - LogSumExp(row));
    best[i] = MostLikely(row) == target;
    if (const int n = sequence.score->top_logprobs; n > 0)
      sequence.score->result.top[sequence.place][first + i] = TopLogprobs(row, n);
  });
  if (std::find(best.begin(), best.end(), 0) != best.end())
    sequence.score->result.greedy[sequence.place] = false;
  if (Uncomputed(sequence) == 0) FinishScore(sequence, absl::OkStatus());
}

void Batcher::FinishScore(Sequence& sequence, const absl::Status& status) {
  const std::shared_ptr<ScoreGroup> group = sequence.score;
  group->result.cached_prompt_tokens += sequence.result.cached_prompt_tokens;
  Release(sequence);
  Remove(&sequence);
  if (group->on_done == nullptr) return;  // Has failed before.
  --group->unfinished;
  if (!status.ok()) {
    std::exchange(group->on_done, nullptr)(status);
  } else if (group->unfinished == 0) {
    std::exchange(group->on_done, nullptr)(std::move(group->result));
  }
}

void Batcher::Finish(Sequence& sequence, FinishReason reason) {
  sequence.result.finish = reason;
  const std::string rest = sequence.text.Flush();
  sequence.result.text += rest;
  if (!rest.empty() && sequence.on_delta) sequence.on_delta({.tokens = {}, .text = rest});
  sequence.result.total_seconds = SecondsSince(sequence.submitted);
  Release(sequence);
  const Engine::OnDone done = std::move(sequence.on_done);
  GenerateResult result = std::move(sequence.result);
  Remove(&sequence);
  if (done) done(std::move(result));
}

void Batcher::Fail(Sequence& sequence, const std::exception& reason) {
  const absl::Status status = Error(absl::StatusCode::kInternal, "GENERATION_FAILED",
                                    absl::StrCat("computation failed: ", reason.what()));
  if (sequence.score != nullptr) return FinishScore(sequence, status);
  if (sequence.embed != nullptr) return FinishEmbedding(sequence, status);
  Release(sequence);
  const Engine::OnDone done = std::move(sequence.on_done);
  Remove(&sequence);
  if (done) done(status);
}

// What has been computed stays in the tree; the rest of the pages goes back.
void Batcher::Release(Sequence& sequence) {
  if (sequence.tail == nullptr) return;
  KvNode& tail = *sequence.tail;
  tail.tokens.resize(tail.computed);
  while (static_cast<int64_t>(tail.pages.size()) > PagesFor(tail.computed)) {
    pool_.Return(tail.pages.back());
    tail.pages.pop_back();
  }
  tree_.Touch(tail);
  sequence.tail = nullptr;
}

void Batcher::Remove(const Sequence* sequence) {
  const auto same = [&](const auto& s) { return s.get() == sequence; };
  std::erase_if(running_, same);
  std::erase_if(waiting_, same);
}

void Batcher::Cancel(RequestId id) {
  const auto find = [&](auto& list) -> Sequence* {
    const auto it =
        std::find_if(list.begin(), list.end(), [&](const auto& s) { return s->id == id; });
    return it == list.end() ? nullptr : it->get();
  };
  const absl::Status cancelled =
      Error(absl::StatusCode::kCancelled, "CANCELLED", "the request was cancelled");
  // A score request has one sequence for each continuation, one to embed for each text.
  while (true) {
    Sequence* sequence = find(running_);
    if (sequence == nullptr) sequence = find(waiting_);
    if (sequence == nullptr) return;
    if (sequence->score != nullptr) {
      FinishScore(*sequence, cancelled);
    } else if (sequence->embed != nullptr) {
      FinishEmbedding(*sequence, cancelled);
    } else {
      Finish(*sequence, FinishReason::kCancelled);
    }
  }
}

void Batcher::CancelAll() {
  while (!running_.empty()) Cancel(running_.front()->id);
  while (!waiting_.empty()) Cancel(waiting_.front()->id);
}

EngineStats Batcher::stats() const {
  EngineStats stats = totals_;
  stats.queued = waiting();
  stats.running = static_cast<int64_t>(running_.size());
  const int64_t page = pool_.shape().page_bytes();
  stats.kv_bytes_cached = tree_.cached_pages() * page;
  stats.kv_bytes_running = pool_.used_pages() * page - stats.kv_bytes_cached;
  return stats;
}

}  // namespace crossover::llm
