// Writes of one transaction, gathered so that many jobs take as many statements as one. Private to
// this room.
#pragma once

#include <map>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/training_scheduler/domain/job_machine.h"

namespace crossover::scheduler {

// Columns of an array parameter each, as Postgres reads array literals.
class ArrayColumn {
 public:
  void Add(const std::string& value);
  void Add(int64_t value);
  std::string Literal() const { return text_ + "}"; }

 private:
  void Separate();

  std::string text_ = "{";
};

// Lives no longer than its transaction. Add() gives a job's events their sequences and registers
// the models it made; Flush() writes the rest.
class JobBatch {
 public:
  explicit JobBatch(pqxx::transaction_base& txn) : txn_(txn) {}

  // `before` is the job as it was read, `job` as it is to be; one Add a job.
  void Add(const Job& before, Job& job, Effects& effects, absl::Time now);
  void Flush();
  // True if anything was added that others may care about.
  bool notable() const { return notable_; }

 private:
  void AddColumns(const Job& job);
  void CountLeases();
  void AddEvent(const std::string& uuid, const JobEvent& event);

  pqxx::transaction_base& txn_;
  size_t jobs_ = 0;
  size_t events_count_ = 0;
  bool notable_ = false;
  std::vector<ArrayColumn> columns_{28};
  std::vector<ArrayColumn> events_{9};
  std::vector<ArrayColumn> ended_{3};      // what webhooks are told: project, job, event
  std::string ended_time_;                 // of the last of them; empty = none
  std::map<std::string, int64_t> leases_;  // how many more, by project
  // Written after the jobs: rows of other tables refer to them.
  struct Reported {
    std::string uuid;
    std::vector<MetricPoint> metrics;
    std::vector<Checkpoint> checkpoints;
  };
  std::vector<Reported> reported_;
};

}  // namespace crossover::scheduler
