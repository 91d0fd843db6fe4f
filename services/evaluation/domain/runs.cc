#include "services/evaluation/domain/runs.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/documents.h"

namespace crossover::evaluation {
namespace {

constexpr int kDefaultRepeats = 5;
constexpr int kDefaultConcurrency = 8;
constexpr int kPage = 200;

absl::Status InvalidRunField(std::string_view field, std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               absl::StrCat(std::string(field), ": ", std::string(what)));
}

std::vector<std::string> DigestsOf(const Run& run) {
  std::vector<std::string> digests;
  for (const System& system : run.systems) digests.push_back(system.digest);
  return digests;
}

absl::Status CheckFields(const Run& run) {
  if (run.systems.empty()) return InvalidRunField("run.systems", "at least one system is needed");
  if (run.repeats < 0 || run.repeats > 100)
    return InvalidRunField("run.repeats", "expected 1 to 100, or 0 for 5");
  if (run.concurrency < 0 || run.concurrency > 256)
    return InvalidRunField("run.concurrency", "expected 1 to 256, or 0 for 8");
  if (run.half_width < 0 || run.half_width >= 1)
    return InvalidRunField("run.stop_at_precision.half_width", "expected [0, 1)");
  if (run.cost_cap < 0) return InvalidRunField("run.cost_cap", "is negative");
  return absl::OkStatus();
}

const Prices& PricesOf(const Run& run, const System& system) {
  return run.prices.at(static_cast<size_t>(&system - run.systems.data()));
}

std::string WordsOfPrices(const Run& baseline_run, const System& baseline, const Run& candidate_run,
                          const System& candidate) {
  const Prices& first = PricesOf(baseline_run, baseline);
  const Prices& second = PricesOf(candidate_run, candidate);
  if (first.origin == second.origin) return CostWords(first);
  return absl::StrCat("measured tokens at declared prices (baseline: ", first.origin,
                      "; candidate: ", second.origin, ")");
}

absl::Status CheckNotAskedMore(const Run& earlier, const Run& run) {
  if (earlier.suite_digest != run.suite_digest || earlier.repeats >= run.repeats)
    return absl::OkStatus();
  const std::vector<std::string> asked = DigestsOf(earlier);
  for (const System& system : run.systems) {
    if (std::find(asked.begin(), asked.end(), system.digest) == asked.end()) continue;
    return Error(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("run.repeats: ", Title(system), " has read these TEST rows in ",
                     earlier.name(), " with ", earlier.repeats,
                     " repeat(s), and TEST rows are read once per candidate: use at most as many "
                     "repeats, another TEST suite, or a DEV suite"),
        {.reason = "TEST_ROWS_SPENT", .metadata = {{"run", earlier.name()}}});
  }
  return absl::OkStatus();
}

// TEST rows are read once per candidate: more repeats after the first result would be a second
// look. What an unfinished run left open may be asked; what was answered is reused.
absl::Status CheckTestRows(Store& store, const Run& run) {
  DocumentQuery query{.kind = kRunKind,
                      .project = run.project,
                      .task = run.task,
                      .state = Name(RunState::kSucceeded),
                      .limit = kPage};
  while (true) {
    ASSIGN_OR_RETURN(std::vector<Document> documents, store.List(query));
    for (const Document& document : documents) {
      ASSIGN_OR_RETURN(const Run earlier, FromDocument<Run>(document));
      RETURN_IF_ERROR(CheckNotAskedMore(earlier, run));
      query.before = document.sequence;
    }
    if (documents.size() < static_cast<size_t>(kPage)) return absl::OkStatus();
  }
}

}  // namespace

const char* Name(RunState state) {
  constexpr const char* kNames[] = {"QUEUED",    "RUNNING", "PAUSED",
                                    "SUCCEEDED", "FAILED",  "CANCELLED"};
  return kNames[static_cast<int>(state)];
}

absl::Status Runs::Count(Run& run) {
  ASSIGN_OR_RETURN(std::vector<SuiteRow> rows, store_.ListSuiteRows(run.suite_digest));
  ASSIGN_OR_RETURN(std::vector<Answer> answers, store_.ListAnswers(run.suite_digest, DigestsOf(run),
                                                                   run.repeats, std::nullopt, 0));
  run.answers_total = static_cast<int64_t>(rows.size() * run.systems.size()) * run.repeats;
  run.answers_done = run.answers_reused =
      std::count_if(answers.begin(), answers.end(),
                    [&](const Answer& answer) { return IsReusable(answer, run.id); });
  return absl::OkStatus();
}

absl::StatusOr<Run> Runs::Create(Run run, const RequestKey& request, bool validate_only) {
  RETURN_IF_ERROR(CheckFields(run));
  ASSIGN_OR_RETURN(Document suite_document, store_.Get(kSuiteKind, run.suite_version));
  ASSIGN_OR_RETURN(Suite suite, FromDocument<Suite>(suite_document));
  run.suite_digest = suite.digest;
  run.task = suite.task;
  if (run.repeats == 0) run.repeats = kDefaultRepeats;
  if (run.concurrency == 0) run.concurrency = kDefaultConcurrency;
  run.prices.clear();
  // A task that nobody registered declares no prices either; its suite can be measured all the
  // same.
  absl::StatusOr<TaskRecord> task = facts_.Task(run.task);
  Prices declared = task.ok() ? ServingPrices(*task) : Prices{};
  for (size_t i = 0; i < run.systems.size(); ++i) {
    absl::StatusOr<SystemRunner::Resolved> resolved = runner_.Resolve(run.project, run.systems[i]);
    if (!resolved.ok()) return WithContext(resolved.status(), absl::StrCat("run.systems[", i, "]"));
    for (size_t other = 0; other < i; ++other) {
      if (run.systems[other].digest == resolved->system.digest) {
        return InvalidRunField(absl::StrCat("run.systems[", i, "]"),
                               absl::StrCat("is the same system as systems[", other, "]"));
      }
    }
    run.systems[i] = resolved->system;
    bool local = resolved->system.kind != ModelKind::kUpstream;
    run.prices.push_back(local && !resolved->prices.known ? declared : resolved->prices);
  }
  if (suite.role == SuiteRole::kTest) RETURN_IF_ERROR(CheckTestRows(store_, run));
  RETURN_IF_ERROR(Count(run));
  run.state = RunState::kQueued;
  run.create_time = run.update_time = clock_.Now();
  if (validate_only) return run;
  run.id = ids_.NextId();
  ASSIGN_OR_RETURN(Document stored, store_.Create(ToDocument(run), request));
  return FromDocument<Run>(stored);
}

absl::StatusOr<Run> Runs::Get(const std::string& name) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kRunKind, name));
  return FromDocument<Run>(document);
}

absl::StatusOr<Run> Runs::Move(const std::string& name, const char* verb, RunState to,
                               const std::vector<RunState>& from,
                               const std::function<void(Run&)>& change) {
  // The executor writes progress meanwhile; a few losses of the race are normal.
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(Run run, Get(name));
    if (run.state == to) return run;
    if (std::find(from.begin(), from.end(), run.state) == from.end()) {
      std::string allowed =
          absl::StrJoin(from, ", ", [](std::string* out, RunState state) { *out += Name(state); });
      return Error(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("cannot ", verb, " a run that is ", Name(run.state),
                                "; it must be ", allowed),
                   {.reason = "STATE_INVALID",
                    .metadata = {{"state", Name(run.state)}, {"allowed", allowed}}});
    }
    run.state = to;
    run.update_time = clock_.Now();
    change(run);
    absl::StatusOr<Document> stored = store_.Update(ToDocument(run));
    if (absl::IsAborted(stored.status()) && attempt < 10) continue;
    if (!stored.ok()) return stored.status();
    RETURN_IF_ERROR(store_.AppendEvent(name, {.time = clock_.Now(),
                                              .type = "state_changed",
                                              .message = absl::StrCat(Name(to), " by ", verb)}));
    return FromDocument<Run>(*stored);
  }
}

absl::StatusOr<Run> Runs::Cancel(const std::string& name) {
  return Move(name, "cancel", RunState::kCancelled,
              {RunState::kQueued, RunState::kRunning, RunState::kPaused}, [this](Run& run) {
                run.state_reason = "cancelled";
                run.finish_time = clock_.Now();
              });
}

absl::StatusOr<Run> Runs::Pause(const std::string& name) {
  return Move(name, "pause", RunState::kPaused, {RunState::kQueued, RunState::kRunning},
              [](Run& run) { run.state_reason = "paused"; });
}

absl::StatusOr<Run> Runs::Resume(const std::string& name, std::optional<double> cost_cap) {
  ASSIGN_OR_RETURN(Run run, Get(name));
  if (run.state == RunState::kRunning) return run;
  return Move(name, "resume", RunState::kQueued, {RunState::kPaused}, [&](Run& changed) {
    changed.state_reason.clear();
    if (cost_cap) changed.cost_cap = *cost_cap;
  });
}

absl::StatusOr<ScoredSystem> Runs::Scored(const Run& run, const System& system) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kSuiteKind, run.suite_version));
  ASSIGN_OR_RETURN(Suite suite, FromDocument<Suite>(document));
  ASSIGN_OR_RETURN(Scorer scorer, Scorer::Create(suite));
  ASSIGN_OR_RETURN(std::vector<SuiteRow> rows, store_.ListSuiteRows(run.suite_digest));
  ASSIGN_OR_RETURN(
      std::vector<Answer> answers,
      store_.ListAnswers(run.suite_digest, {system.digest}, run.repeats, std::nullopt, 0));
  return scorer.Score(system, rows, answers);
}

absl::StatusOr<Comparison> Runs::Compare(const CompareRequest& request) {
  if (request.runs.empty() || request.runs.size() > 2)
    return InvalidRunField("runs", "expected one or two runs");
  if (request.level <= 0.5 || request.level >= 1)
    return InvalidRunField("level", "expected a number in (0.5, 1), or 0 for 0.95");
  std::vector<Run> runs;
  for (const std::string& name : request.runs) {
    ASSIGN_OR_RETURN(Run run, Get(name));
    if (!runs.empty() && run.suite_digest != runs.front().suite_digest) {
      return Error(absl::StatusCode::kFailedPrecondition, "RUNS_NOT_COMPARABLE",
                   absl::StrCat(name, " is over ", run.suite_version, ", but ", runs.front().name(),
                                " over ", runs.front().suite_version));
    }
    runs.push_back(std::move(run));
  }
  auto find = [&](const std::string& digest,
                  const char* field) -> absl::StatusOr<std::pair<const Run*, const System*>> {
    for (const Run& run : runs) {
      for (const System& system : run.systems) {
        if (system.digest == digest) return std::make_pair(&run, &system);
      }
    }
    return InvalidRunField(field, absl::StrCat("no system ", digest, " in the runs"));
  };
  ASSIGN_OR_RETURN(
      auto baseline,
      find(request.baseline.empty() ? runs.front().systems.front().digest : request.baseline,
           "baseline"));
  ASSIGN_OR_RETURN(
      auto candidate,
      find(request.candidate.empty() ? runs.back().systems.back().digest : request.candidate,
           "candidate"));
  if (baseline.second->digest == candidate.second->digest)
    return InvalidRunField("candidate", "is the baseline itself");

  ASSIGN_OR_RETURN(Document suite_document, store_.Get(kSuiteKind, runs.front().suite_version));
  ASSIGN_OR_RETURN(Suite suite, FromDocument<Suite>(suite_document));
  ASSIGN_OR_RETURN(ScoredSystem first, Scored(*baseline.first, *baseline.second));
  ASSIGN_OR_RETURN(ScoredSystem second, Scored(*candidate.first, *candidate.second));
  CompareOptions options{.level = request.level};
  // A task that nobody registered has no volume; the comparison is as good without.
  absl::StatusOr<TaskRecord> task = facts_.Task(suite.task);
  if (task.ok() && task->requests_per_day > 0)
    options.requests_per_month = task->requests_per_day * kDaysPerMonth;
  options.cost_explanation =
      WordsOfPrices(*baseline.first, *baseline.second, *candidate.first, *candidate.second);
  ASSIGN_OR_RETURN(Comparison comparison, evaluation::Compare(suite, first, second, options));
  comparison.id = ids_.NextId();
  comparison.project = request.project;
  comparison.runs = request.runs;
  comparison.create_time = clock_.Now();
  Document document{.kind = kComparisonKind,
                    .name = absl::StrCat(comparison.project, "/comparisons/", comparison.id),
                    .project = comparison.project,
                    .task = suite.task,
                    .state = "DONE",
                    .body = Encode(comparison)};
  RETURN_IF_ERROR(store_.Create(document, {}).status());
  return comparison;
}

absl::StatusOr<Comparison> Runs::GetComparison(const std::string& name) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kComparisonKind, name));
  return FromDocument<Comparison>(document);
}

}  // namespace crossover::evaluation
