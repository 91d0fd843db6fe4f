#include "services/evaluation/domain/run_executor.h"

#include <algorithm>
#include <deque>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/stats/paired.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/domain/results.h"

namespace crossover::evaluation {
namespace {

struct Question {
  size_t system;
  const SuiteRow* row;
  int repeat;
};

// One execution of one run. Its threads share it; the thread that made it owns `run_`.
class Execution {
 public:
  Execution(Store& store, SystemRunner& runner, Clock& clock, const RunExecutorOptions& options,
            const std::function<void(const char*)>& count, Run run, std::string owner,
            const std::atomic<bool>& stop)
      : store_(store),
        runner_(runner),
        clock_(clock),
        options_(options),
        count_(count),
        run_(std::move(run)),
        owner_(std::move(owner)),
        stop_(stop) {}

  absl::Status Execute() {
    RETURN_IF_ERROR(Begin());
    for (size_t system = 0; system < run_.systems.size() && !Halted(); ++system) {
      AskAll(system);
    }
    return End();
  }

 private:
  absl::Status Begin() {
    ASSIGN_OR_RETURN(Document document, store_.Get(kSuiteKind, run_.suite_version));
    ASSIGN_OR_RETURN(suite_, FromDocument<Suite>(document));
    ASSIGN_OR_RETURN(rows_, store_.ListSuiteRows(run_.suite_digest));
    std::vector<std::string> digests;
    for (const System& system : run_.systems) digests.push_back(system.digest);
    ASSIGN_OR_RETURN(std::vector<Answer> answers,
                     store_.ListAnswers(run_.suite_digest, digests, run_.repeats, std::nullopt, 0));
    run_.answers_reused = 0;
    run_.cost = 0;
    for (const Answer& answer : answers) {
      if (!IsReusable(answer, run_.id)) continue;
      done_.insert({answer.row_digest, answer.system_digest, answer.repeat});
      if (answer.run == run_.id) {
        run_.cost += answer.cost;
      } else {
        ++run_.answers_reused;
        count_("reused");
      }
    }
    run_.answers_done = static_cast<int64_t>(done_.size());
    run_.answers_total = static_cast<int64_t>(rows_.size() * run_.systems.size()) * run_.repeats;
    started_ = clock_.SteadyNow();
    done_before_ = run_.answers_done;
    if (run_.state == RunState::kRunning) return Save();
    run_.state = RunState::kRunning;
    run_.state_reason.clear();
    RETURN_IF_ERROR(Save());
    return store_.AppendEvent(
        run_.name(), {.time = clock_.Now(), .type = "state_changed", .message = "RUNNING"});
  }

  // Systems take turns, so that one's load is not in another's latency.
  void AskAll(size_t system) {
    std::deque<Question> questions;
    for (int repeat = 0; repeat < run_.repeats; ++repeat) {
      for (const SuiteRow& row : rows_) {
        if (!done_.count({row.row_digest, run_.systems[system].digest, repeat}))
          questions.push_back({system, &row, repeat});
      }
    }
    int wanted = run_.systems[system].max_concurrency > 0 ? run_.systems[system].max_concurrency
                                                          : run_.concurrency;
    size_t threads = std::min<size_t>(
        questions.size(), static_cast<size_t>(std::clamp(wanted, 1, options_.maximum_concurrency)));
    working_ = static_cast<int>(threads);
    precise_ = false;
    std::vector<std::thread> pool;
    for (size_t i = 0; i < threads; ++i) {
      pool.emplace_back([this, &questions] {
        Work(questions);
        absl::MutexLock lock(&mutex_);
        --working_;
      });
    }
    KeepClaim();
    for (std::thread& thread : pool) thread.join();
  }

  // Answers may take longer than the claim lives, and people may cancel while none comes.
  void KeepClaim() {
    absl::MutexLock lock(&mutex_);
    auto done = +[](int* working) { return *working == 0; };
    while (!mutex_.AwaitWithTimeout(absl::Condition(done, &working_), options_.claim_ttl / 6)) {
      if (!HaltedLocked()) Progress();
    }
  }

  void Work(std::deque<Question>& questions) {
    while (true) {
      Question question;
      {
        absl::MutexLock lock(&mutex_);
        if (questions.empty() || precise_ || HaltedLocked()) return;
        question = questions.front();
        questions.pop_front();
      }
      absl::StatusOr<Reply> reply = AskPatiently(question);
      absl::MutexLock lock(&mutex_);
      Take(question, std::move(reply));
    }
  }

  absl::StatusOr<Reply> AskPatiently(const Question& question) {
    absl::Duration wait = options_.first_wait;
    for (int attempt = 1;; ++attempt) {
      absl::StatusOr<Reply> reply =
          runner_.Ask(run_.systems[question.system], *question.row, question.repeat);
      if (reply.ok() || !MayBeTriedAgain(reply.status()) || attempt >= options_.attempts ||
          Halted())
        return reply;
      // In slices, so that a cancelled run or a draining module does not wait for the longest.
      for (absl::Duration rest = wait; rest > absl::ZeroDuration() && !Halted();
           rest -= options_.first_wait) {
        clock_.SleepFor(std::min(rest, options_.first_wait));
      }
      wait *= 2;
    }
  }

  void Take(const Question& question, absl::StatusOr<Reply> reply)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!reply.ok() && !BelongsToRow(reply.status())) {
      if (stop_) return;  // shutting down: the question stays open for whoever claims the run next
      Halt(MayBeTriedAgain(reply.status()) ? RunState::kPaused : RunState::kFailed,
           absl::StrCat(Title(run_.systems[question.system]), ": ",
                        std::string(reply.status().message())));
      return;
    }
    absl::StatusOr<bool> stored = store_.PutAnswer(ToAnswer(question, reply));
    if (!stored.ok()) {
      Break(stored.status());
      return;
    }
    count_(reply.ok() ? "ok" : "error");
    ++run_.answers_done;
    AddCost(question, reply);
    if (clock_.SteadyNow() - saved_ >= options_.progress_interval) Progress();
    if (question.system > 0 && run_.half_width > 0 && run_.answers_done % 20 == 0)
      StopIfPrecise(question.system);
  }

  Answer ToAnswer(const Question& question, const absl::StatusOr<Reply>& reply) {
    Answer answer{.suite_digest = run_.suite_digest,
                  .row_digest = question.row->row_digest,
                  .system_digest = run_.systems[question.system].digest,
                  .repeat = question.repeat,
                  .run = run_.id,
                  .time = clock_.Now()};
    if (!reply.ok()) {
      std::string reason = DetailOf(reply.status()).reason;
      answer.error = reason.empty() ? absl::StatusCodeToString(reply.status().code()) : reason;
      return answer;
    }
    answer.output = reply->output;
    answer.finish_reason = reply->finish_reason;
    answer.usage = reply->usage;
    answer.latency_seconds = reply->latency_seconds;
    answer.first_token_seconds = reply->first_token_seconds;
    answer.cached = reply->cached;
    answer.revision = reply->revision;
    const Prices& prices = run_.prices[question.system];
    answer.cost_known = prices.known;
    if (prices.known) answer.cost = CostOf(reply->usage, prices);
    return answer;
  }

  void AddCost(const Question& question, const absl::StatusOr<Reply>& reply)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (reply.ok() && run_.prices[question.system].known)
      run_.cost += CostOf(reply->usage, run_.prices[question.system]);
    if (run_.cost_cap > 0 && run_.cost >= run_.cost_cap && run_.answers_done < run_.answers_total) {
      Halt(RunState::kPaused,
           absl::StrFormat("the cost cap of %.4f USD is reached", run_.cost_cap));
    }
  }

  // Keeps the claim, writes the counts, and sees what people asked for meanwhile.
  void Progress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::Status kept = store_.RenewClaim(run_.name(), owner_, options_.claim_ttl);
    if (!kept.ok()) return Break(kept);
    double asked = static_cast<double>(run_.answers_done - done_before_);
    double left = static_cast<double>(run_.answers_total - run_.answers_done);
    run_.eta_seconds =
        asked == 0 ? 0 : absl::ToDoubleSeconds(clock_.SteadyNow() - started_) / asked * left;
    absl::Status saved = Save();
    if (absl::IsAborted(saved)) return ReadWish();
    if (!saved.ok()) Break(saved);
  }

  // Somebody else changed the run: cancelled or paused it, or changed its labels.
  void ReadWish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::StatusOr<Document> document = store_.Get(kRunKind, run_.name());
    if (!document.ok()) return Break(document.status());
    absl::StatusOr<Run> stored = FromDocument<Run>(*document);
    if (!stored.ok()) return Break(stored.status());
    run_.version = stored->version;
    run_.labels = stored->labels;
    if (stored->state != RunState::kRunning) Halt(stored->state, stored->state_reason);
  }

  void StopIfPrecise(size_t system) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::StatusOr<std::vector<ScoredSystem>> scored = ScoreAll();
    if (!scored.ok()) return Break(scored.status());
    std::map<std::string, double> baseline;
    for (const ScoredRow& row : (*scored)[0].rows) baseline[row.row.row_digest] = row.MeanScore(0);
    std::vector<double> first, second;
    std::vector<std::string> clusters;
    for (const ScoredRow& row : (*scored)[system].rows) {
      auto found = baseline.find(row.row.row_digest);
      if (found == baseline.end()) continue;
      first.push_back(row.MeanScore(0));
      second.push_back(found->second);
      clusters.push_back(row.row.cluster);
    }
    stats::Interval difference = stats::PairedDifference(first, second, clusters);
    if (precise_ || (difference.upper - difference.lower) / 2 > run_.half_width) return;
    // The systems after this one are asked all the same.
    precise_ = true;
    absl::StrAppend(
        &precise_words_, precise_words_.empty() ? "" : "; ",
        absl::StrFormat("%s: the paired interval is narrower than ±%g after %d of %d rows",
                        Title(run_.systems[system]), run_.half_width, first.size(), rows_.size()));
  }

  absl::StatusOr<std::vector<ScoredSystem>> ScoreAll() {
    std::vector<std::string> digests;
    for (const System& system : run_.systems) digests.push_back(system.digest);
    ASSIGN_OR_RETURN(std::vector<Answer> answers,
                     store_.ListAnswers(run_.suite_digest, digests, run_.repeats, std::nullopt, 0));
    // Errors of earlier runs are asked again; until then they are no answers.
    std::erase_if(answers, [&](const Answer& answer) { return !IsReusable(answer, run_.id); });
    ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(suite_));
    std::vector<ScoredSystem> scored;
    for (const System& system : run_.systems)
      scored.push_back(scorer.Score(system, rows_, answers));
    return scored;
  }

  void Halt(RunState state, std::string reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (halted_) return;
    halted_ = true;
    run_.state = state;
    run_.state_reason = std::move(reason);
  }

  void Break(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (broken_.ok()) broken_ = status;
    halted_ = true;
  }

  bool HaltedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return halted_ || stop_; }
  bool Halted() {
    absl::MutexLock lock(&mutex_);
    return HaltedLocked();
  }

  absl::Status Save() {
    saved_ = clock_.SteadyNow();
    run_.update_time = clock_.Now();
    ASSIGN_OR_RETURN(Document stored, store_.Update(ToDocument(run_)));
    run_.version = stored.version;
    return absl::OkStatus();
  }

  absl::Status End() {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(broken_);
    if (!halted_ && stop_ && run_.answers_done < run_.answers_total) {
      RETURN_IF_ERROR(Save());
      return store_.ReleaseClaim(run_.name(), owner_);
    }
    if (!halted_) {
      run_.state = RunState::kSucceeded;
      run_.state_reason = precise_words_;
    }
    ASSIGN_OR_RETURN(std::vector<ScoredSystem> scored, ScoreAll());
    run_.results.clear();
    for (size_t i = 0; i < scored.size(); ++i) {
      run_.results.push_back(ComputeResult(suite_, scored[i]));
      if (run_.results[i].cost_per_request)
        run_.results[i].cost_explanation = CostWords(run_.prices[i]);
    }
    run_.eta_seconds = 0;
    if (IsTerminal(run_.state)) run_.finish_time = clock_.Now();
    absl::Status saved = Save();
    if (absl::IsAborted(saved)) {  // cancelled or paused at the last moment: their word stands
      bool was_success = run_.state == RunState::kSucceeded;
      halted_ = false;
      ReadWish();
      RETURN_IF_ERROR(broken_);
      if (!halted_ && was_success) run_.state = RunState::kSucceeded;
      saved = Save();
    }
    RETURN_IF_ERROR(saved);
    RETURN_IF_ERROR(store_.AppendEvent(
        run_.name(),
        {.time = clock_.Now(),
         .type = "state_changed",
         .message = absl::StrCat(Name(run_.state), run_.state_reason.empty() ? "" : ": ",
                                 run_.state_reason)}));
    return store_.ReleaseClaim(run_.name(), owner_);
  }

  Store& store_;
  SystemRunner& runner_;
  Clock& clock_;
  const RunExecutorOptions& options_;
  const std::function<void(const char*)>& count_;
  // Systems, prices and suite never change; counts, cost and state change under the mutex while
  // threads run.
  Run run_;
  std::string owner_;
  const std::atomic<bool>& stop_;
  Suite suite_;
  std::vector<SuiteRow> rows_;
  std::set<AnswerKey> done_;
  absl::Duration started_;
  absl::Duration saved_;
  int64_t done_before_ = 0;
  absl::Mutex mutex_;
  int working_ = 0;            // threads of the pool; under the mutex while they run
  bool precise_ = false;       // the system being asked is; under the mutex while threads run
  std::string precise_words_;  // which systems were, and when
  bool halted_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

bool BelongsToRow(const absl::Status& status) {
  static const auto* const kReasons = new std::set<std::string>{
      "CONTEXT_LENGTH_EXCEEDED", "CONTENT_FILTERED", "EMPTY_PROMPT", "ROW_INVALID"};
  return kReasons->count(DetailOf(status).reason) > 0;
}

bool MayBeTriedAgain(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
         absl::IsDeadlineExceeded(status);
}

RunExecutor::RunExecutor(Store& store, SystemRunner& runner, Clock& clock,
                         RunExecutorOptions options, std::function<void(const char*)> count)
    : store_(store), runner_(runner), clock_(clock), options_(options), count_(std::move(count)) {}

absl::Status RunExecutor::Execute(Run run, const std::string& owner,
                                  const std::atomic<bool>& stop) {
  Execution execution(store_, runner_, clock_, options_, count_, std::move(run), owner, stop);
  return execution.Execute();
}

}  // namespace crossover::evaluation
