// Decisions as resources: gathers the evidence, decides, keeps what it decided from.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/id/uuid7.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/decision.h"
#include "services/evaluation/domain/ports.h"
#include "services/evaluation/domain/runs.h"
#include "services/evaluation/domain/store.h"

namespace crossover::evaluation {

// Thread-safe. Borrows its dependencies.
class Decisions {
 public:
  // `count` is told the recommendation of every verdict (metrics).
  Decisions(
      Store& store, Runs& runs, FactSource& facts, Clock& clock, UuidGenerator& ids,
      std::function<void(const char* recommendation)> count = [](const char*) {})
      : store_(store),
        runs_(runs),
        facts_(facts),
        clock_(clock),
        ids_(ids),
        count_(std::move(count)) {}

  // `decision` gives task, inputs, labels and waivers that hold from the start.
  absl::StatusOr<Decision> Create(Decision decision, const RequestKey& request,
                                  bool validate_only = false);
  absl::StatusOr<Decision> Get(const std::string& name);

  // FailedPrecondition DECISION_CLOSED if it is signed or vetoed.
  absl::StatusOr<Decision> Sign(const std::string& name, const std::string& by,
                                const std::string& reason);
  absl::StatusOr<Decision> Veto(const std::string& name, const std::string& by,
                                const std::string& reason);
  // Goes on without a condition and decides again. InvalidArgument for a condition the verdict does
  // not have as necessary.
  absl::StatusOr<Decision> Waive(const std::string& name, const std::string& condition,
                                 const std::string& by, const std::string& reason);
  absl::StatusOr<Decision> Reopen(const std::string& name, const std::string& trigger);

 private:
  absl::StatusOr<CaseFile> Gather(const Decision& decision);
  absl::Status DecideNow(Decision& decision);
  absl::StatusOr<Decision> Change(const std::string& name, bool must_be_open,
                                  const std::function<absl::Status(Decision&)>& change);

  Store& store_;
  Runs& runs_;
  FactSource& facts_;
  Clock& clock_;
  UuidGenerator& ids_;
  std::function<void(const char*)> count_;
};

}  // namespace crossover::evaluation
