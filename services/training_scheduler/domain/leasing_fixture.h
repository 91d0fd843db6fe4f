// Leasing over the fake stores and a fake clock.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/metrics/registry.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/domain/leasing.h"
#include "services/training_scheduler/domain/scheduler_metrics.h"

namespace crossover::scheduler {

class LeasingTest : public ::testing::Test {
 protected:
  JobId Add() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.base_model = "base";
    absl::StatusOr<Job> added =
        jobs_.Insert(job, {}, [](Job& mine, absl::Time now, Effects& effects) {
          Validated validated;
          validated.base_model = "base";
          validated.resolved.steps = 100;
          validated.inputs.base_digest = "sha256:base";
          return Accept(mine, validated, Dependencies::kMet, now, effects);
        });
    EXPECT_OK(added);
    return added->id;
  }

  GrantedLease Lease(const std::string& worker) {
    absl::StatusOr<std::optional<GrantedLease>> granted =
        leasing_.TryLease({worker, worker + "-1", {}});
    EXPECT_OK(granted);
    EXPECT_TRUE(granted->has_value());
    return granted->value();
  }

  void LetExpire(const JobId& id) {
    clock_.Advance(options_.ttl + absl::Seconds(1));
    EXPECT_OK(jobs_.Update(id, [&](Job& job, absl::Time now, Effects& effects) {
      return Expire(job, options_.retry, now, effects);
    }));
  }

  Job Get(const JobId& id) { return *jobs_.Get(id); }

  Outcome Success() {
    Outcome outcome;
    outcome.outputs.adapter_digest = "sha256:adapter";
    return outcome;
  }

  Outcome Failure(ErrorClass error_class) {
    Outcome outcome;
    outcome.error = JobError{error_class, "SOME_REASON", "something broke", "", ""};
    return outcome;
  }

  LeaseOptions options_;
  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator ids_{clock_, random_};
  FakeModelStore models_{clock_};
  FakeJobStore jobs_{clock_, models_};
  metrics::Registry registry_{"scheduler"};
  SchedulerMetrics metrics_{registry_};
  Leasing leasing_{jobs_, random_, clock_, metrics_, options_};
};

}  // namespace crossover::scheduler
