// Ladders as resources that climb by themselves.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/ladder.h"
#include "services/evaluation/domain/runs.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Thread-safe. Borrows its dependencies.
class Ladders {
 public:
  Ladders(Store& store, Runs& runs, FactSource& facts, Clock& clock, UuidGenerator& ids)
      : store_(store), runs_(runs), facts_(facts), clock_(clock), ids_(ids) {}

  // Checks suites, roles and rungs with their systems, and begins to climb (Advance does the
  // steps). What cannot be asked for now does not hinder: the climb waits for it.
  absl::StatusOr<Ladder> Create(Ladder ladder, const RequestKey& request,
                                bool validate_only = false);
  absl::StatusOr<Ladder> Get(const std::string& name);
  absl::StatusOr<Ladder> Cancel(const std::string& name);

  // One step of a RUNNING ladder: starts the next rung's run, or records one that has ended, or
  // ends the climb. Several processes may do this at once: the store's versions let one win. True
  // if something was done.
  absl::StatusOr<bool> Advance(const std::string& name);
  // Advances every RUNNING ladder; the first error is returned after all were tried.
  absl::Status AdvanceAll();

 private:
  absl::Status CheckSystems(const Ladder& ladder);
  absl::StatusOr<bool> StartRun(Ladder& ladder, const std::string& suite, const System& system,
                                const std::string& key, std::string& run);
  // The run goes on; says so if it is paused.
  absl::StatusOr<bool> Wait(Ladder& ladder, const Run& run);
  absl::StatusOr<bool> Record(Ladder& ladder, size_t index);
  absl::StatusOr<bool> Climb(Ladder& ladder);
  absl::Status Save(Ladder& ladder);

  Store& store_;
  Runs& runs_;
  FactSource& facts_;
  Clock& clock_;
  UuidGenerator& ids_;
};

}  // namespace crossover::evaluation
