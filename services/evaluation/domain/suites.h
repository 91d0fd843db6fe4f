// Suites: freezing rows and graders, judging answers.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/time/clock.h"
#include "services/evaluation/domain/ports.h"
#include "services/evaluation/domain/store.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

// Thread-safe. Borrows its dependencies.
class Suites {
 public:
  Suites(Store& store, RowSource& rows, Clock& clock) : store_(store), rows_(rows), clock_(clock) {}

  struct FreezeRequest {
    Suite suite;  // project, slug, task, dataset, graders, slices, cluster_by, role, labels
    std::vector<SuiteRow> inline_rows;  // where suite.dataset names no version
    RequestKey request;
    bool validate_only = false;
  };
  // Equal content gives the same version: freezing again returns what is stored.
  absl::StatusOr<Suite> Freeze(const FreezeRequest& request);

  absl::StatusOr<Suite> Get(const std::string& name);
  absl::StatusOr<std::vector<SuiteRow>> Rows(const Suite& suite);
  absl::StatusOr<int64_t> TimesUsed(const Suite& suite);

  // NotFound if the row is not the suite's.
  absl::StatusOr<Judgement> Judge(const std::string& suite, Judgement judgement);
  absl::StatusOr<std::vector<Judgement>> Judgements(const Suite& suite) {
    return store_.ListJudgements(suite.digest);
  }

 private:
  Store& store_;
  RowSource& rows_;
  Clock& clock_;
};

}  // namespace crossover::evaluation
