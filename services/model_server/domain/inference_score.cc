// Inference: log-probabilities of given texts.
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {
namespace {

// The items of one Score call. Keeps itself alive through the engine's callbacks.
class RunningScore final : public Generation, public std::enable_shared_from_this<RunningScore> {
 public:
  RunningScore(ModelLease lease, ScoreAnswer answer, InferenceObserver& observer,
               Inference::OnScore done)
      : engine_(lease.engine()),
        observer_(observer),
        lease_(std::move(lease)),
        answer_(std::move(answer)),
        done_(std::move(done)) {}

  // Once.
  void Submit(std::vector<llm::ScoreRequest> requests) {
    // One more than there are items, so that nothing ends before all are queued.
    waiting_for_ = requests.size() + 1;
    for (size_t i = 0; i < requests.size(); ++i) {
      if (GivesUp(requests.size() - i)) break;
      if (requests[i].continuations.empty()) {  // A prompt of one token, which nothing predicts.
        Done(i, llm::ScoreResult{.prompt_tokens = 1});
        continue;
      }
      const auto id =
          engine_.Score(std::move(requests[i]),
                        [self = shared_from_this(), i](absl::StatusOr<llm::ScoreResult> result) {
                          self->Done(i, std::move(result));
                        });
      if (!id.ok()) {
        Done(i, id.status());
      } else {
        Remember(*id);
      }
    }
    Done(0, llm::ScoreResult{});
  }

  void Cancel() override {
    // Under the lock, so that the lease, and with it the engine, lives as long as it is told. The
    // engine only takes note and calls back later.
    std::lock_guard lock(mutex_);
    if (cancelled_ || waiting_for_ == 0) return;
    cancelled_ = true;
    for (const RequestId id : ids_) engine_.Cancel(id);
  }

 private:
  // Once an item has failed, the others are not begun.
  bool GivesUp(size_t not_begun) {
    std::lock_guard lock(mutex_);
    if (failure_.ok()) return false;
    waiting_for_ -= not_begun;
    return true;
  }

  void Remember(RequestId id) {
    std::lock_guard lock(mutex_);
    ids_.push_back(id);
    if (cancelled_ || !failure_.ok()) engine_.Cancel(id);
  }

  void Done(size_t item, absl::StatusOr<llm::ScoreResult> result) {
    std::unique_lock lock(mutex_);
    if (result.ok()) {
      Add(item, *result);
    } else if (failure_.ok()) {
      failure_ = result.status();
      // Nobody will hear of the others. Those that have ended the engine does not know any more.
      for (const RequestId id : ids_) engine_.Cancel(id);
    }
    if (--waiting_for_ > 0) return;
    if (cancelled_)
      failure_ = Error(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the request was cancelled");
    lock.unlock();
    lease_ = {};
    observer_.OnScore(failure_, answer_.usage);
    if (failure_.ok()) {
      done_(std::move(answer_));
    } else {
      done_(failure_);
    }
  }

  void Add(size_t item, const llm::ScoreResult& result) {
    answer_.usage.input += result.prompt_tokens;
    answer_.usage.cached_input += result.cached_prompt_tokens;
    for (size_t i = 0; i < result.logprobs.size(); ++i) {
      ContinuationScore& continuation = answer_.items[item][i];
      continuation.logprobs = result.logprobs[i];
      continuation.greedy = result.greedy[i];
      if (!result.top.empty()) continuation.top = result.top[i];
      for (const float logprob : continuation.logprobs) continuation.logprob += logprob;
      answer_.usage.input += static_cast<int64_t>(continuation.ids.size());
    }
  }

  GenerationEngine& engine_;
  InferenceObserver& observer_;
  std::mutex mutex_;
  ModelLease lease_;
  ScoreAnswer answer_;
  Inference::OnScore done_;
  size_t waiting_for_ = 0;
  std::vector<RequestId> ids_;
  bool cancelled_ = false;
  absl::Status failure_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Generation>> Inference::Score(const ScoreCommand& command,
                                                             OnScore done) {
  auto running = StartScore(command, std::move(done));
  if (!running.ok()) observer_.OnScore(running.status(), {});
  return running;
}

absl::StatusOr<std::shared_ptr<Generation>> Inference::StartScore(const ScoreCommand& command,
                                                                  OnScore done) {
  if (command.items.empty()) return FieldError("items", "must hold at least one item");
  if (command.top_logprobs < 0 || command.top_logprobs > 20)
    return FieldError("top_logprobs", "must be from 0 to 20");
  ASSIGN_OR_RETURN(ModelLease lease, models_.Acquire(command.model, command.patience));
  const LoadedBase& base = lease.base();
  std::vector<llm::ScoreRequest> requests(command.items.size());
  const uint64_t call = NewCall();
  ScoreAnswer answer{.start = {lease.digest(), base.tokenizer}};
  answer.items.resize(command.items.size());
  for (size_t i = 0; i < command.items.size(); ++i) {
    ASSIGN_OR_RETURN(requests[i].prompt,
                     PromptIds(base, command.items[i].prompt, command.items[i].prompt_field,
                               command.items[i].prompt_itself ? 0 : 1));
    requests[i].adapter = lease.adapter();
    requests[i].caller = command.caller;
    requests[i].call = call;
    requests[i].cache_salt = command.cache_salt;
    requests[i].top_logprobs = static_cast<int>(command.top_logprobs);
    answer.prompts.push_back(requests[i].prompt);
    if (command.items[i].prompt_itself) {
      std::vector<int32_t>& ids = requests[i].prompt;
      std::vector<int32_t> rest(ids.begin() + 1, ids.end());
      ids.resize(1);
      if (rest.empty()) continue;
      requests[i].continuations.push_back(rest);
      answer.items[i].push_back({.ids = std::move(rest)});
      continue;
    }
    const std::string field = absl::StrCat("items[", i, "].continuations");
    if (command.items[i].continuations.empty())
      return FieldError(field, "must hold at least one text");
    for (const std::string& text : command.items[i].continuations) {
      const llm::TextSpan span{text, false};
      std::vector<int32_t> ids = base.tokenizer->Encode(std::span(&span, 1));
      if (ids.empty()) return FieldError(field, "may not hold an empty text");
      requests[i].continuations.push_back(ids);
      answer.items[i].push_back({.ids = std::move(ids)});
    }
  }
  const auto score = std::make_shared<RunningScore>(std::move(lease), std::move(answer), observer_,
                                                    std::move(done));
  score->Submit(std::move(requests));
  return score;
}

}  // namespace crossover::inference
