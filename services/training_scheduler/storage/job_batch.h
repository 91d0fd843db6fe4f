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
#include "services/training_scheduler/storage/known_jobs.h"

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

// True if a mutation changed nothing beside the job's row and its events.
bool ChangesOnlyItsRow(const JobBefore& before, const Job& job, const Effects& effects);

// Registers the models that the job made, which gives it their name and alias, and writes its
// settings if they differ. Before the job is added to a batch of the same transaction.
void WriteBeside(pqxx::transaction_base& txn, const JobBefore& before, Job& job,
                 const Effects& effects);

// Add() gives a job's events their sequences; Flush() writes all that was added.
class JobBatch {
 public:
  // `job` is as it is to be; one Add a job. With a version its row is written only if it is of that
  // version still; without one it must be locked.
  void Add(const JobBefore& before, Job& job, Effects& effects, absl::Time now,
           const RowVersion& version = "");
  struct Written {
    RowVersion version;  // of the rows now
    absl::Time now;
  };
  // One statement, but for metrics and checkpoints. Also sends NOTIFY crossover_job, if so wished.
  // Fails as a whole, with SQLSTATE CR001, if a row is of another version than was said. Only if
  // something was added.
  Written Flush(pqxx::transaction_base& txn, bool notify);
  // True if nothing was added.
  bool empty() const { return jobs_ == 0; }
  // True if anything was added that others may care about.
  bool notable() const { return notable_; }

 private:
  void AddColumns(const Job& job, const RowVersion& version);
  void AddEvent(const std::string& uuid, const JobEvent& event);
  void WriteReported(pqxx::transaction_base& txn);

  size_t jobs_ = 0;
  bool notable_ = false;
  std::vector<ArrayColumn> columns_{29};
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
