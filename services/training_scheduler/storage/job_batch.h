// Writes of one transaction, gathered so that many jobs take as many statements as one. Private to
// this room.
#pragma once

#include <map>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_machine.h"

namespace crossover::scheduler {

// Columns of an array parameter each, as Postgres reads array literals. Times are microseconds
// since 1970, what is absent is NULL.
class ArrayColumn {
 public:
  void Add(const std::string& value);
  void Add(int64_t value);
  void Add(absl::Time value) { Add(absl::ToUnixMicros(value)); }
  template <typename T>
  void Add(const std::optional<T>& value) {
    value.has_value() ? Add(*value) : AddNull();
  }
  std::string Literal() const { return text_ + "}"; }

 private:
  void Separate();
  void AddNull();

  std::string text_ = "{";
};

// What of a job, as it was read, says which tables its changes concern.
struct JobBefore {
  explicit JobBefore(const Job& job);

  JobState state;
  std::string display_name;
  std::map<std::string, std::string> labels;
  std::string base_model;
  int32_t priority;
  std::string queue;
  std::optional<absl::Time> deadline;
  int64_t leases;  // that it held
};

// Lives no longer than its transaction. Add() gives a job's events their sequences and registers
// the models it made; Flush() writes the rest.
class JobBatch {
 public:
  explicit JobBatch(pqxx::transaction_base& txn) : txn_(txn) {}

  // `job` is as it is to be; one Add a job.
  void Add(const JobBefore& before, Job& job, Effects& effects, absl::Time now);
  // Also sends NOTIFY crossover_job, if so wished.
  void Flush(bool notify);
  // True if anything was added that others may care about.
  bool notable() const { return notable_; }

 private:
  void AddColumns(const Job& job);
  void AddEvent(const std::string& uuid, const JobEvent& event);
  void WriteReported();

  pqxx::transaction_base& txn_;
  size_t jobs_ = 0;
  bool notable_ = false;
  std::vector<ArrayColumn> columns_{28};
  std::vector<ArrayColumn> events_{9};
  std::vector<ArrayColumn> ended_{4};      // what webhooks are told: project, job, event, time
  std::map<std::string, int64_t> leases_;  // how many more, by project
  struct Reported {
    std::string uuid;
    std::vector<MetricPoint> metrics;
    std::vector<Checkpoint> checkpoints;
  };
  std::vector<Reported> reported_;
};

}  // namespace crossover::scheduler
