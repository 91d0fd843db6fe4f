#include "services/shadow_router/domain/control.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/pair_builder.h"

namespace crossover::router {
namespace {

using State = ExperimentState;

constexpr int kReadLimit = 5'000;
constexpr absl::Duration kForcedReload =
    absl::Seconds(15);  // Prompts and upstreams may change without our store knowing.
constexpr std::string_view kRunner = "crossover";
// Stored at the same moment, seen a little later: another router's clock, a flush under way.
constexpr absl::Duration kFeedbackOverlap = absl::Minutes(10);
constexpr int kMaxTries = 3;
constexpr size_t kMaxEndedFolds = 16;

bool CandidateIsPrimary(State state) {
  return state == State::kPromoted || state == State::kReverseShadow || state == State::kCompleted;
}

// What the route's primary becomes; empty: stays.
std::string PrimaryAfter(const Experiment& experiment, State to) {
  if (to == State::kPaused) return "";  // The share stays as it is, after the promotion too.
  if (CandidateIsPrimary(to)) return experiment.candidate;
  if (experiment.state == State::kDraft) return "";
  return experiment.baseline;
}

void Append(Experiment& experiment, Override override) {
  experiment.overrides.push_back(std::move(override));
}

// The answer that a stored leg holds, if it is the whole of it.
std::optional<Answer> AnswerOf(const Leg* leg) {
  if (leg == nullptr || !leg->output_is_complete || DigestOf(leg->output) != leg->output_digest)
    return std::nullopt;
  Answer answer;
  answer.status = leg->status;
  answer.finish_reason = leg->finish_reason;
  answer.content = leg->output;
  return answer;
}

// A demonstration is the right output as JSON text: a string stands for its content, anything else
// for itself.
std::string LabelOf(const Feedback& feedback) {
  const nlohmann::json value =
      nlohmann::json::parse(feedback.value, nullptr, /*allow_exceptions=*/false);
  return value.is_string() ? value.get<std::string>() : feedback.value;
}

std::optional<Grade> GradeOf(const FeedbackForPair& item, const ComparatorSpec& spec,
                             absl::Time now) {
  if (spec.kind == ComparatorSpec::Kind::kToolCalls) return std::nullopt;  // Legs don't keep them.
  const std::optional<Answer> primary = AnswerOf(item.pair.Find(LegRole::kPrimary));
  const Leg* other =
      item.pair.Find(item.pair.self_compare ? LegRole::kSecondary : LegRole::kCandidate);
  const std::optional<Answer> candidate = AnswerOf(other);
  if (!primary || !candidate) return std::nullopt;
  const std::string label = LabelOf(item.feedback);
  return Grade{.source = GradeSource::kLabel,
               .grader_version = ComparatorVersion(spec),
               .primary_loss = LabelLoss(spec, *primary, label),
               .candidate_loss = LabelLoss(spec, *candidate, label),
               .time = now};
}

}  // namespace

void ExperimentControl::SetObserver(Observer observer) { observer_ = std::move(observer); }

std::shared_ptr<ExperimentControl::Fold> ExperimentControl::FoldOf(const Experiment& experiment) {
  std::shared_ptr<Fold>& fold = folds_[{experiment.name, experiment.comparison}];
  if (fold == nullptr) {
    fold = std::make_shared<Fold>(experiment);
    fold->rate_since = deps_.clock.SteadyNow();
  }
  return fold;
}

absl::Status ExperimentControl::GradeFeedback(const Experiment& experiment, Fold& fold) {
  const absl::Time now = deps_.clock.Now();
  ASSIGN_OR_RETURN(const std::vector<FeedbackForPair> items,
                   deps_.store.UngradedFeedback(experiment.name, fold.feedback_since, kReadLimit));
  if (items.size() < kReadLimit) fold.feedback_since = now - kFeedbackOverlap;
  if (items.empty()) return absl::OkStatus();
  TaskInfo task;
  ASSIGN_OR_RETURN(const Route route, deps_.store.GetRoute(experiment.route));
  if (const auto known = deps_.catalog.GetTask(route.task); known.ok()) task = *known;
  const ComparatorSpec spec = ComparatorsFor(experiment, task).front();
  for (const FeedbackForPair& item : items) {
    const std::optional<Grade> grade = GradeOf(item, spec, now);
    // Answers that were not kept whole can't be graded afterwards; nothing is guessed.
    if (grade) RETURN_IF_ERROR(deps_.store.AddGrade(item.pair.id, *grade));
  }
  return absl::OkStatus();
}

absl::Status ExperimentControl::Read(const Experiment& experiment, Fold& fold) {
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<PairFacts> pairs,
                     deps_.store.PairFactsAfter(experiment.name, experiment.comparison,
                                                fold.pair_cursor, kReadLimit));
    for (const PairFacts& pair : pairs) {
      fold.evidence.Add(pair);
      fold.pair_cursor = pair.sequence;
      if (!pair.primary_fingerprint.empty()) fold.primary_fingerprint = pair.primary_fingerprint;
      if (!pair.candidate_fingerprint.empty())
        fold.candidate_fingerprint = pair.candidate_fingerprint;
    }
    if (pairs.size() < kReadLimit) break;
  }
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<GradeFacts> grades,
                     deps_.store.GradeFactsAfter(experiment.name, experiment.comparison,
                                                 fold.grade_cursor, kReadLimit));
    for (const GradeFacts& grade : grades) {
      fold.evidence.Add(grade);
      fold.grade_cursor = grade.sequence;
    }
    if (grades.size() < kReadLimit) break;
  }
  ASSIGN_OR_RETURN(const auto arms, deps_.store.SumArms(experiment.name, experiment.comparison));
  fold.evidence.SetArms(arms);
  return absl::OkStatus();
}

absl::StatusOr<Report> ExperimentControl::Look(const Experiment& experiment) {
  return LookWith(experiment, *FoldOf(experiment));
}

absl::StatusOr<Report> ExperimentControl::LookWith(const Experiment& experiment, Fold& fold) {
  RETURN_IF_ERROR(Read(experiment, fold));
  Report report{.experiment = experiment, .verdict = fold.evidence.Judge()};
  ASSIGN_OR_RETURN(report.progress.ledger,
                   deps_.store.SumLedger(experiment.name, experiment.comparison));
  if (experiment.state == State::kCanary) {
    ASSIGN_OR_RETURN(const auto arms, deps_.store.SumArms(experiment.name, experiment.comparison));
    const int weight = ToBasisPoints(experiment.steps[static_cast<size_t>(experiment.step)].weight);
    if (const auto it = arms.find(weight); it != arms.end()) {
      report.progress.step_requests = it->second.candidate_requests;
    }
  }
  const absl::Duration elapsed = deps_.clock.SteadyNow() - fold.rate_since;
  if (elapsed >= absl::Seconds(1)) {
    report.progress.pairs_per_second =
        static_cast<double>(report.verdict.deciding - fold.rate_from) /
        absl::ToDoubleSeconds(elapsed);
  }
  if (elapsed > absl::Minutes(10)) {
    fold.rate_since = deps_.clock.SteadyNow();
    fold.rate_from = report.verdict.deciding;
  }
  const absl::Time now = deps_.clock.Now();
  report.conditions = Conditions(experiment, report.verdict, report.progress, now);
  report.eta = Eta(experiment, report.verdict, report.progress, now);
  report.words = router::Explain(experiment, report.verdict, report.progress, now);
  return report;
}

absl::StatusOr<Experiment> ExperimentControl::Transit(const Experiment& experiment,
                                                      const Move& move, const std::string& actor,
                                                      const Verdict& verdict) {
  Experiment next = experiment;
  const absl::Time now = deps_.clock.Now();
  if (move.to == State::kPaused) next.paused_from = experiment.state;
  next.state = move.to;
  next.step = move.step;
  next.state_time = now;
  next.state_reason = move.words;
  if (experiment.state == State::kDraft && !IsTerminal(move.to)) next.start_time = now;
  if (IsTerminal(move.to)) next.finish_time = now;
  next.transitions = experiment.transitions + 1;
  const Transition transition{.experiment = experiment.name,
                              .sequence = next.transitions,
                              .from = experiment.state,
                              .to = move.to,
                              .from_step = experiment.step,
                              .to_step = move.step,
                              .actor = actor,
                              .time = now,
                              .statistics = ToJson(verdict).dump(),
                              .words = move.words};
  RETURN_IF_ERROR(deps_.store.ApplyTransition(next, transition, PrimaryAfter(experiment, move.to)));
  deps_.logger.Info("experiment_state", {{"experiment", experiment.name},
                                         {"from", ToString(experiment.state)},
                                         {"to", ToString(move.to)},
                                         {"step", move.step},
                                         {"actor", actor}});
  if (absl::Status status = ReloadLocked(/*force=*/true); !status.ok()) {
    // The state is stored; the table follows with the next reload.
    deps_.logger.Warning("router_reload_failed", {{"error", status}});
  }
  ASSIGN_OR_RETURN(Experiment moved, deps_.store.GetExperiment(experiment.name));
  if (observer_) observer_({.experiment = moved, .verdict = verdict, .words = move.words});
  return moved;
}

absl::Status ExperimentControl::CheckFingerprints(const Experiment& experiment, const Fold& fold) {
  Experiment seen = experiment;
  const auto note = [](const std::string& now, std::string& known) {
    const bool changed = !now.empty() && !known.empty() && now != known;
    if (!now.empty()) known = now;
    return changed;
  };
  const bool primary = note(fold.primary_fingerprint, seen.primary_fingerprint);
  const bool candidate = note(fold.candidate_fingerprint, seen.candidate_fingerprint);
  if (primary || candidate) {
    return OpenComparison(seen, absl::StrCat("the ", primary ? "primary's" : "candidate's",
                                             " system_fingerprint changed"));
  }
  if (seen.primary_fingerprint == experiment.primary_fingerprint &&
      seen.candidate_fingerprint == experiment.candidate_fingerprint) {
    return absl::OkStatus();
  }
  return deps_.store.UpdateExperiment(seen, deps_.clock.Now()).status();
}

absl::Status ExperimentControl::OpenComparison(Experiment experiment, const std::string& why) {
  ++experiment.comparison;
  RETURN_IF_ERROR(deps_.store.UpdateExperiment(experiment, deps_.clock.Now()).status());
  deps_.logger.Info(
      "experiment_comparison",
      {{"experiment", experiment.name}, {"comparison", experiment.comparison}, {"why", why}});
  return ReloadLocked(/*force=*/true);
}

absl::Status ExperimentControl::LookAndMove(const Experiment& experiment) {
  Fold& fold = *FoldOf(experiment);
  RETURN_IF_ERROR(GradeFeedback(experiment, fold));
  ASSIGN_OR_RETURN(const Report report, LookWith(experiment, fold));
  if (observer_) observer_(report);
  const std::optional<Move> move =
      Decide(experiment, report.verdict, report.progress, deps_.clock.Now());
  if (move) return Transit(experiment, *move, std::string(kRunner), report.verdict).status();
  return CheckFingerprints(experiment, fold);
}

absl::Status ExperimentControl::Tick() {
  absl::MutexLock lock(&mutex_);
  absl::Status first = ReloadLocked(/*force=*/false);
  absl::StatusOr<std::vector<Experiment>> running = deps_.store.RunningExperiments();
  if (!running.ok()) return running.status();
  std::map<std::pair<std::string, int>, std::shared_ptr<Fold>> kept;
  for (const Experiment& experiment : *running) {
    const std::shared_ptr<Fold> fold = FoldOf(experiment);
    kept[{experiment.name, experiment.comparison}] = fold;
    const absl::Duration now = deps_.clock.SteadyNow();
    if (now - fold->last_look < experiment.decision_interval) continue;
    fold->last_look = now;
    const absl::Status status = LookAndMove(experiment);
    if (status.ok()) continue;
    // Aborted: another router moved it first. It will be read anew at the next tick.
    if (!absl::IsAborted(status)) {
      deps_.logger.Error("experiment_look_failed",
                         {{"experiment", experiment.name}, {"error", status}});
    }
    first.Update(status);
  }
  folds_ = std::move(kept);
  return first;
}

absl::Status ExperimentControl::Reload(bool force) {
  absl::MutexLock lock(&mutex_);
  return ReloadLocked(force);
}

absl::Status ExperimentControl::ReloadLocked(bool force) {
  const absl::Duration now = deps_.clock.SteadyNow();
  ASSIGN_OR_RETURN(const int64_t version, deps_.store.RoutingVersion());
  if (!force && version == loaded_version_ && now - loaded_at_ < kForcedReload)
    return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto routes, deps_.store.LoadRouting());
  auto table = std::make_shared<RoutingTable>();
  std::vector<std::pair<Experiment, std::string>> changed;
  for (const auto& [route, experiment] : routes) {
    auto resolved = ResolveRoute(route, experiment, deps_.catalog, deps_.resolver);
    if (!resolved->status.ok()) {
      deps_.logger.Warning("route_unresolved",
                           {{"route", route.name}, {"error", resolved->status}});
    }
    for (const absl::Status& problem : resolved->problems) {
      deps_.logger.Warning("route_incomplete", {{"route", route.name}, {"error", problem}});
    }
    if (resolved->experiment && IsRunning(resolved->experiment->state)) {
      const std::string key = resolved->CurrentProvenance().Key();
      if (key != resolved->experiment->provenance) changed.emplace_back(*resolved->experiment, key);
    }
    table->Add(std::move(resolved));
  }
  deps_.table.Set(std::move(table));
  loaded_version_ = version;
  loaded_at_ = now;
  for (auto& [experiment, key] : changed) {
    experiment.provenance = key;
    experiment.primary_fingerprint.clear();
    experiment.candidate_fingerprint.clear();
    const absl::Status opened =
        OpenComparison(experiment, "prompt, model, sampling or graders changed");
    // Aborted: somebody changed it since it was read; the version has risen and it is read anew.
    if (!opened.ok() && !absl::IsAborted(opened)) return opened;
  }
  return absl::OkStatus();
}

absl::Status ExperimentControl::CheckEvaluated(const Experiment& experiment,
                                               const ResolvedVariant& candidate) {
  const auto refused = [&](const std::string& why) {
    return Error(absl::StatusCode::kFailedPrecondition, "CANDIDATE_NOT_EVALUATED",
                 absl::StrCat("candidate '", experiment.candidate, "' ", why,
                              "; name its evaluation, or override 'evaluation' with a reason"));
  };
  if (experiment.evaluation.empty()) {
    if (candidate.system.prompt_version.empty()) return refused("has not been evaluated");
    ASSIGN_OR_RETURN(const PromptInfo prompt,
                     deps_.catalog.GetPrompt(candidate.system.prompt_version));
    return prompt.evaluated ? absl::OkStatus() : refused("has not been evaluated");
  }
  if (deps_.evaluations == nullptr)
    return refused(
        "cannot be held against its evaluation: this router knows no evaluation service");
  const absl::StatusOr<std::vector<std::string>> measured =
      deps_.evaluations->SystemsOf(experiment.evaluation);
  if (absl::IsNotFound(measured.status()) || absl::IsFailedPrecondition(measured.status()))
    return refused(absl::StrCat("has not been evaluated: ", measured.status().message()));
  if (!measured.ok()) return measured.status();
  if (std::find(measured->begin(), measured->end(), candidate.digest) != measured->end())
    return absl::OkStatus();
  return refused(absl::StrCat("is not what ", experiment.evaluation, " measured: it is system ",
                              candidate.digest, ", measured were ",
                              measured->empty() ? "none" : absl::StrJoin(*measured, ", ")));
}

absl::Status ExperimentControl::CheckStart(Experiment& experiment) {
  ASSIGN_OR_RETURN(const Route route, deps_.store.GetRoute(experiment.route));
  experiment.baseline = route.primary;
  RETURN_IF_ERROR(Validate(experiment, route));
  Experiment started = experiment;
  started.state = State::kCalibrating;
  const auto resolved = ResolveRoute(route, started, deps_.catalog, deps_.resolver);
  if (!resolved->status.ok()) return resolved->status;
  const ResolvedVariant* candidate = resolved->Find(experiment.candidate);
  if (candidate == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "RESOURCE_NOT_FOUND",
                 absl::StrCat("candidate '", experiment.candidate,
                              "' does not resolve: its prompt or upstream is not in the registry"));
  }
  // Without the task's contract the format gate and validator grades would be silently off.
  if (!resolved->problems.empty()) return resolved->problems.front();
  const bool overridden = std::any_of(experiment.overrides.begin(), experiment.overrides.end(),
                                      [](const Override& one) { return one.name == "evaluation"; });
  if (!overridden) RETURN_IF_ERROR(CheckEvaluated(experiment, *candidate));
  experiment.provenance = resolved->CurrentProvenance().Key();
  experiment.comparison = 1;
  return absl::OkStatus();
}

absl::StatusOr<Experiment> ExperimentControl::Do(const std::string& name, Verb verb,
                                                 const std::string& actor,
                                                 const std::string& reason) {
  absl::StatusOr<Experiment> done = DoOnce(name, verb, actor, reason);
  // Settings were changed or another router moved it in the meantime: what was asked for is asked
  // of what is there now.
  for (int tries = 1; tries < kMaxTries && HasReason(done.status(), "ETAG_MISMATCH"); ++tries) {
    done = DoOnce(name, verb, actor, reason);
  }
  return done;
}

absl::StatusOr<Experiment> ExperimentControl::DoOnce(const std::string& name, Verb verb,
                                                     const std::string& actor,
                                                     const std::string& reason) {
  if (verb == Verb::kStart) return StartOnce(name, actor, reason);
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Experiment experiment, deps_.store.GetExperiment(name));
  Report report;
  // A verb must work while the evidence can't be read: rollback least of all may depend on it.
  // Advancing does depend on it.
  if (absl::StatusOr<Report> known = Look(experiment); known.ok()) {
    report = *std::move(known);
  } else if (verb == Verb::kAdvance) {
    return known.status();
  }
  ASSIGN_OR_RETURN(const Move move, Apply(experiment, report.verdict, verb, reason));
  if (verb == Verb::kAdvance) {
    for (const Condition& condition : report.conditions) {
      if (!condition.met)
        Append(experiment, {condition.name, condition.words, reason, actor, deps_.clock.Now()});
    }
  }
  return Transit(experiment, move, actor, report.verdict);
}

absl::StatusOr<Experiment> ExperimentControl::StartOnce(const std::string& name,
                                                        const std::string& actor,
                                                        const std::string& reason) {
  ASSIGN_OR_RETURN(const Experiment draft, deps_.store.GetExperiment(name));
  ASSIGN_OR_RETURN(const Move move, Apply(draft, {}, Verb::kStart, reason));
  Experiment experiment = draft;
  absl::Status ready = CheckStart(experiment);
  if (HasReason(ready, "CANDIDATE_NOT_EVALUATED") && !reason.empty()) {
    const std::string without =
        experiment.evaluation.empty() ? "not evaluated" : std::string(ToStd(ready.message()));
    Append(experiment, {"evaluation", without, reason, actor, deps_.clock.Now()});
    ready = CheckStart(experiment);
  }
  RETURN_IF_ERROR(ready);
  absl::MutexLock lock(&mutex_);
  Verdict verdict;
  if (const absl::StatusOr<Report> known = Look(draft); known.ok()) verdict = known->verdict;
  // ETAG_MISMATCH if it is no longer what was checked.
  return Transit(experiment, move, actor, verdict);
}

absl::StatusOr<Experiment> ExperimentControl::AddOverride(const std::string& name,
                                                          const Override& override) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Experiment experiment, deps_.store.GetExperiment(name));
  if (IsTerminal(experiment.state)) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                 absl::StrCat(name, " is ", std::string(ToString(experiment.state)),
                              "; nothing can be overridden"));
  }
  RETURN_IF_ERROR(ApplyOverride(override, experiment));
  return deps_.store.UpdateExperiment(experiment, deps_.clock.Now());
}

absl::StatusOr<Report> ExperimentControl::Explain(const std::string& name, int comparison) {
  ASSIGN_OR_RETURN(Experiment experiment, deps_.store.GetExperiment(name));
  const bool current = comparison < 0 || comparison == experiment.comparison;
  if (current && IsRunning(experiment.state)) {
    absl::MutexLock lock(&mutex_);
    return Look(experiment);
  }
  // What nobody decides on any more is read without holding up the decisions, and remembered: a
  // long experiment has many pairs.
  if (!current) experiment.comparison = comparison;
  absl::MutexLock lock(&ended_mutex_);
  const auto key = std::pair(experiment.name, experiment.comparison);
  if (!ended_folds_.contains(key) && ended_folds_.size() >= kMaxEndedFolds) ended_folds_.clear();
  std::shared_ptr<Fold>& fold = ended_folds_[key];
  if (fold == nullptr) fold = std::make_shared<Fold>(experiment);
  return LookWith(experiment, *fold);
}

}  // namespace crossover::router
