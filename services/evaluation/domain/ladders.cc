#include "services/evaluation/domain/ladders.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/documents.h"

namespace crossover::evaluation {
namespace {

constexpr int kMaxRunning = 1000;

absl::Status CheckRole(Store& store, const std::string& field, const std::string& name,
                       SuiteRole role) {
  ASSIGN_OR_RETURN(Document document, store.Get(kSuiteKind, name));
  ASSIGN_OR_RETURN(Suite suite, FromDocument<Suite>(document));
  if (suite.role == role) return absl::OkStatus();
  return Error(
      absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
      absl::StrCat(field, ": ", name, " has role ", Name(suite.role), ", needed is ", Name(role),
                   ": the search reads DEV rows, TEST rows are read once for the chosen rung"));
}

// Errors that time may cure; others end the ladder.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsAborted(status) || absl::IsResourceExhausted(status);
}

}  // namespace

absl::Status Ladders::Save(Ladder& ladder) {
  ladder.update_time = clock_.Now();
  ASSIGN_OR_RETURN(Document stored, store_.Update(ToDocument(ladder)));
  ladder.version = stored.version;
  return absl::OkStatus();
}

absl::Status Ladders::CheckSystems(const Ladder& ladder) {
  for (size_t i = 0; i < ladder.rungs.size(); ++i) {
    const absl::Status known = runs_.CheckSystem(ladder.project, ladder.rungs[i].system);
    if (known.ok() || MayPass(known)) continue;
    return WithContext(known, absl::StrCat("ladder.rungs[", i, "].system"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Ladder> Ladders::Create(Ladder ladder, const RequestKey& request,
                                       bool validate_only) {
  if (ladder.rungs.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "ladder.rungs: at least one rung is needed");
  }
  RETURN_IF_ERROR(CheckRole(store_, "ladder.dev_suite", ladder.dev_suite, SuiteRole::kDev));
  if (!ladder.test_suite.empty())
    RETURN_IF_ERROR(CheckRole(store_, "ladder.test_suite", ladder.test_suite, SuiteRole::kTest));
  ASSIGN_OR_RETURN(TaskRecord task, facts_.Task(ladder.task));
  RETURN_IF_ERROR(CheckSystems(ladder));
  ladder.target = task.target_score;
  if (ladder.repeats == 0) ladder.repeats = 1;
  if (ladder.convergence_margin == 0)
    ladder.convergence_margin = GateThresholds().convergence_margin;
  ladder.state = LadderState::kRunning;
  ladder.chosen = -1;
  ladder.create_time = ladder.update_time = clock_.Now();
  if (validate_only) return ladder;
  ladder.id = ids_.NextId();
  ASSIGN_OR_RETURN(Document stored, store_.Create(ToDocument(ladder), request));
  return FromDocument<Ladder>(stored);
}

absl::StatusOr<Ladder> Ladders::Get(const std::string& name) {
  ASSIGN_OR_RETURN(Document document, store_.Get(kLadderKind, name));
  return FromDocument<Ladder>(document);
}

absl::StatusOr<Ladder> Ladders::Cancel(const std::string& name) {
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(Ladder ladder, Get(name));
    if (ladder.state != LadderState::kRunning) return ladder;
    ladder.state = LadderState::kCancelled;
    ladder.state_reason = "cancelled";
    absl::Status saved = Save(ladder);
    if (absl::IsAborted(saved) && attempt < 10) continue;
    RETURN_IF_ERROR(saved);
    for (const Rung& rung : ladder.rungs) {
      // A run that has ended already is fine.
      if (!rung.run.empty() && !rung.dev) runs_.Cancel(rung.run).IgnoreError();
    }
    return ladder;
  }
}

absl::StatusOr<bool> Ladders::StartRun(Ladder& ladder, const std::string& suite,
                                       const System& system, const std::string& key,
                                       std::string& run_name) {
  Run run{.project = ladder.project,
          .suite_version = suite,
          .systems = {system},
          .repeats = ladder.repeats,
          .cost_cap = ladder.cost_cap};
  run.labels["ladder"] = ladder.id;
  // The key makes a second starter find the first one's run.
  absl::StatusOr<Run> created = runs_.Create(
      run, {.id = absl::StrCat("ladder-", ladder.id, "-", key), .payload_digest = key});
  if (!created.ok()) {
    if (MayPass(created.status())) return created.status();
    ladder.state = LadderState::kFailed;
    ladder.state_reason = std::string(created.status().message());
  } else {
    run_name = created->name();
  }
  RETURN_IF_ERROR(Save(ladder));
  return true;
}

absl::StatusOr<bool> Ladders::Wait(Ladder& ladder, const Run& run) {
  std::string words;
  if (run.state == RunState::kPaused) {
    words = absl::StrCat("waits for ", run.name(), ", which is PAUSED: ", run.state_reason,
                         "; resume that run or cancel the ladder");
  }
  if (words == ladder.state_reason) return false;
  ladder.state_reason = std::move(words);
  RETURN_IF_ERROR(Save(ladder));
  return true;
}

absl::StatusOr<bool> Ladders::Record(Ladder& ladder, size_t index) {
  Rung& rung = ladder.rungs[index];
  ASSIGN_OR_RETURN(Run run, runs_.Get(rung.run));
  if (!IsTerminal(run.state)) return Wait(ladder, run);
  if (run.state != RunState::kSucceeded) {
    ladder.state = LadderState::kFailed;
    ladder.state_reason = absl::StrCat(rung.run, " is ", Name(run.state), ": ", run.state_reason);
    RETURN_IF_ERROR(Save(ladder));
    return true;
  }
  ladder.state_reason.clear();
  rung.system = run.systems[0];
  ASSIGN_OR_RETURN(ScoredSystem scored, runs_.Scored(run, run.systems[0]));
  int best = BestRung(ladder);
  if (best < 0) {
    RecordRung(ladder, index, run.results.at(0), scored, nullptr);
  } else {
    ASSIGN_OR_RETURN(Run best_run, runs_.Get(ladder.rungs[best].run));
    ASSIGN_OR_RETURN(ScoredSystem before, runs_.Scored(best_run, best_run.systems[0]));
    RecordRung(ladder, index, run.results.at(0), scored, &before);
  }
  RETURN_IF_ERROR(Save(ladder));
  return true;
}

absl::StatusOr<bool> Ladders::Climb(Ladder& ladder) {
  Ladder ended = ladder;
  int next = NextRung(ended);
  ladder.converged = ended.converged;
  if (next >= 0) {
    Rung& rung = ladder.rungs[static_cast<size_t>(next)];
    return StartRun(ladder, ladder.dev_suite, rung.system, absl::StrCat("dev-", next), rung.run);
  }
  ladder.chosen = ended.chosen;
  if (!ladder.test_suite.empty() && ladder.chosen >= 0 &&
      !ladder.rungs[static_cast<size_t>(ladder.chosen)].test) {
    Rung& chosen = ladder.rungs[static_cast<size_t>(ladder.chosen)];
    if (ladder.test_run.empty())
      return StartRun(ladder, ladder.test_suite, chosen.system, "test", ladder.test_run);
    ASSIGN_OR_RETURN(Run run, runs_.Get(ladder.test_run));
    if (!IsTerminal(run.state)) return Wait(ladder, run);
    if (run.state == RunState::kSucceeded) {
      chosen.test = run.results.at(0).graders.at(0).score;
    } else {
      ladder.state = LadderState::kFailed;
      ladder.state_reason =
          absl::StrCat(ladder.test_run, " is ", Name(run.state), ": ", run.state_reason);
      RETURN_IF_ERROR(Save(ladder));
      return true;
    }
  }
  ladder.state = ended.state;
  ladder.state_reason = ended.state_reason;
  RETURN_IF_ERROR(Save(ladder));
  return true;
}

absl::StatusOr<bool> Ladders::Advance(const std::string& name) {
  ASSIGN_OR_RETURN(Ladder ladder, Get(name));
  if (ladder.state != LadderState::kRunning) return false;
  absl::StatusOr<bool> done = false;
  size_t measuring = 0;
  while (measuring < ladder.rungs.size() &&
         (ladder.rungs[measuring].run.empty() || ladder.rungs[measuring].dev))
    ++measuring;
  done = measuring < ladder.rungs.size() ? Record(ladder, measuring) : Climb(ladder);
  if (absl::IsAborted(done.status())) return false;  // another process was faster
  return done;
}

absl::Status Ladders::AdvanceAll() {
  ASSIGN_OR_RETURN(std::vector<Document> documents,
                   store_.List({.kind = kLadderKind, .state = "RUNNING", .limit = kMaxRunning}));
  absl::Status first;
  for (const Document& document : documents) {
    absl::StatusOr<bool> done = Advance(document.name);
    if (!done.ok() && first.ok()) first = WithContext(done.status(), document.name);
  }
  return first;
}

}  // namespace crossover::evaluation
