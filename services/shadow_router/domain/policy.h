// The experiment's state machine: pure functions from what is known to what happens next.
//
// docs/state_machines.md has the table. Nothing here reads a clock or a store.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/experiment.h"
#include "services/shadow_router/domain/ledger.h"
#include "services/shadow_router/domain/verdict.h"

namespace crossover::router {

// What has been seen, beside the verdict.
struct Progress {
  LedgerCounts ledger;          // Of the current comparison, all instances.
  int64_t step_requests = 0;    // Answered by the candidate at this step's weight.
  double pairs_per_second = 0;  // Deciding pairs, recently; 0 if unknown. For the ETA.
};

// A state to go to, and why.
struct Move {
  ExperimentState to = ExperimentState::kDraft;
  int step = 0;
  std::string words;
};

// One condition of the next state.
struct Condition {
  std::string
      name;  // As in `overrides` where it can be overridden: "shadow_duration"; else "quality".
  bool met = false;
  std::string words;  // "3 d 4 h of 7 d".
};

// What the present state still waits for, all conditions, met ones included. Empty for states that
// wait for nobody.
std::vector<Condition> Conditions(const Experiment& experiment, const Verdict& verdict,
                                  const Progress& progress, absl::Time now);

// What the runner does now; nullopt: wait. Harm is asked first.
std::optional<Move> Decide(const Experiment& experiment, const Verdict& verdict,
                           const Progress& progress, absl::Time now);

// What a person may do.
enum class Verb { kStart, kAdvance, kPause, kResume, kRollback, kAbort };
std::string_view ToString(Verb verb);

// The move that `verb` makes. FAILED_PRECONDITION `STATE_INVALID` with the allowed verbs if the
// state doesn't allow it; INVALID_ARGUMENT if Advance or Rollback come without a reason. Advance
// goes on although a minimum or the quality condition is not met, but never past a test that has
// fired (FAILED_PRECONDITION `GATE_NOT_MET`).
absl::StatusOr<Move> Apply(const Experiment& experiment, const Verdict& verdict, Verb verb,
                           const std::string& reason);

// How long until the conditions hold, at the present rate; nullopt if nobody can say.
std::optional<absl::Duration> Eta(const Experiment& experiment, const Verdict& verdict,
                                  const Progress& progress, absl::Time now);

// The state of the experiment in sentences that a person can act on.
std::string Explain(const Experiment& experiment, const Verdict& verdict, const Progress& progress,
                    absl::Time now);

}  // namespace crossover::router
