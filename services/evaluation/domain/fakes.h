// Fakes of the ports, for tests of this room and of transport.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/status/error.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

// Answers by a function; counts what it was asked.
class FakeRunner final : public SystemRunner {
 public:
  using AskFn = std::function<absl::StatusOr<Reply>(const System&, const SuiteRow&, int repeat)>;

  explicit FakeRunner(AskFn ask) : ask_(std::move(ask)) {}

  std::string unknown_model = "unknown";

  absl::StatusOr<Resolved> Resolve(const std::string&, const System& system) override {
    if (system.model == unknown_model)
      return Error(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
                   "no model '" + unknown_model + "'");
    return Resolved{WithDigest(system), prices_};
  }
  absl::StatusOr<Reply> Ask(const System& system, const SuiteRow& row, int repeat) override {
    {
      absl::MutexLock lock(&mutex_);
      ++asked_[system.digest + row.row_digest + std::to_string(repeat)];
      ++total_;
    }
    return ask_(system, row, repeat);
  }

  void SetPrices(const Prices& prices) { prices_ = prices; }
  int total() {
    absl::MutexLock lock(&mutex_);
    return total_;
  }
  // The most often any one question was asked.
  int most() {
    absl::MutexLock lock(&mutex_);
    int most = 0;
    for (const auto& [question, count] : asked_) most = std::max(most, count);
    return most;
  }

 private:
  AskFn ask_;
  Prices prices_;
  absl::Mutex mutex_;
  std::map<std::string, int> asked_;
  int total_ = 0;
};

class FakeRows final : public RowSource {
 public:
  explicit FakeRows(std::vector<dataset::Row> rows) : rows_(std::move(rows)) {}
  absl::StatusOr<std::vector<dataset::Row>> Rows(const std::string&,
                                                 const std::string& split) override {
    std::vector<dataset::Row> wanted;
    for (const dataset::Row& row : rows_) {
      if (row.split == split) wanted.push_back(row);
    }
    return wanted;
  }

 private:
  std::vector<dataset::Row> rows_;
};

class FakeFacts final : public FactSource {
 public:
  TaskRecord task;
  PromptRecord prompt;
  std::optional<DataEvidence> data;

  absl::StatusOr<TaskRecord> Task(const std::string& name) override {
    if (task.name != name)
      return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND", name + " does not exist");
    return task;
  }
  absl::StatusOr<PromptRecord> Prompt(const std::string&) override { return prompt; }
  absl::StatusOr<std::optional<DataEvidence>> Data(const std::string&,
                                                   const std::string&) override {
    return data;
  }
};

}  // namespace crossover::evaluation
