// Runs and comparisons as resources.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/comparison.h"
#include "services/evaluation/domain/ports.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Thread-safe. Borrows its dependencies.
class Runs {
 public:
  Runs(Store& store, SystemRunner& runner, FactSource& facts, Clock& clock, UuidGenerator& ids)
      : store_(store), runner_(runner), facts_(facts), clock_(clock), ids_(ids) {}

  // Resolves the systems and queues the run. With validate_only nothing is stored; counts say what
  // would be asked and reused.
  absl::StatusOr<Run> Create(Run run, const RequestKey& request, bool validate_only = false);
  absl::StatusOr<Run> Get(const std::string& name);

  // FailedPrecondition STATE_INVALID in a state the verb does not leave; a repeat of what holds
  // already is harmless.
  absl::StatusOr<Run> Cancel(const std::string& name);
  absl::StatusOr<Run> Pause(const std::string& name);
  absl::StatusOr<Run> Resume(const std::string& name, std::optional<double> cost_cap);

  struct CompareRequest {
    std::string project;
    std::vector<std::string> runs;  // one or two, over one suite version
    std::string baseline;           // digest; empty = the first system of the first run
    std::string candidate;          // digest; empty = the last system of the last run
    double level = 0.95;
  };
  // Computes, stores and returns. FailedPrecondition RUNS_NOT_COMPARABLE, InvalidArgument for an
  // unknown system.
  absl::StatusOr<Comparison> Compare(const CompareRequest& request);
  absl::StatusOr<Comparison> GetComparison(const std::string& name);

  // Whether a run of this system could be created now: NotFound for an unknown prompt, model or
  // upstream.
  absl::Status CheckSystem(const std::string& project, const System& system) {
    return runner_.Resolve(project, system).status();
  }

  // One system of a run with its rows graded.
  absl::StatusOr<ScoredSystem> Scored(const Run& run, const System& system);

 private:
  absl::Status Count(Run& run);
  absl::StatusOr<Run> Move(const std::string& name, const char* verb, RunState to,
                           const std::vector<RunState>& from,
                           const std::function<void(Run&)>& change);

  Store& store_;
  SystemRunner& runner_;
  FactSource& facts_;
  Clock& clock_;
  UuidGenerator& ids_;
};

}  // namespace crossover::evaluation
