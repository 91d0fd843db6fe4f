// Both stores of jobs, the fake and Postgres, for what every JobStore promises.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/id/random.h"
#include "common/id/uuid7.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/fake_job_store.h"
#include "services/training_scheduler/domain/fake_model_store.h"
#include "services/training_scheduler/storage/embedded_sql.h"
#include "services/training_scheduler/storage/pg_job_store.h"
#include "services/training_scheduler/storage/pg_model_store.h"

namespace crossover::scheduler {

// Both stores run on the machine's clock here: Postgres has no other.
struct Stores {
  virtual ~Stores() = default;
  virtual JobStore& jobs() = 0;
  virtual ModelStore& models() = 0;
};

struct FakeStores final : Stores {
  FakeModelStore model_store{SystemClock()};
  FakeJobStore job_store{SystemClock(), model_store};
  JobStore& jobs() override { return job_store; }
  ModelStore& models() override { return model_store; }
};

struct PgStores final : Stores {
  crossover::testing::PgDatabase database{{Migrations()}};
  std::unique_ptr<pg::Pool> pool = database.NewPool("scheduler");
  PgModelStore model_store{*pool};
  FakeLogger logger;
  PgJobStore job_store{*pool, logger};
  JobStore& jobs() override { return job_store; }
  ModelStore& models() override { return model_store; }
};

class JobStoreConformance : public ::testing::TestWithParam<const char*> {
 protected:
  JobStoreConformance() {
    if (std::string(GetParam()) == "Fake") {
      stores_ = std::make_unique<FakeStores>();
    } else {
      stores_ = std::make_unique<PgStores>();
    }
  }

  JobStore& store() { return stores_->jobs(); }

  Job Draft() {
    Job job;
    job.id = ids_.NextId();
    job.project = "default";
    job.base_model = "smollm2";
    return job;
  }

  static absl::Status Queue(Job& job, absl::Time now, Effects& effects) {
    Validated validated;
    validated.base_model = job.base_model;
    validated.inputs.base_digest = "sha256:base";
    validated.resolved.steps = 100;
    validated.estimate.work = 4e12;
    validated.resolved.batch_size = 8;
    return Accept(job, validated, Dependencies::kMet, now, effects);
  }

  Job Add(const Job& draft, const RequestKey& key = {}) {
    absl::StatusOr<Job> job = store().Insert(draft, key, &Queue);
    EXPECT_OK(job);
    return *job;
  }
  Job Add() { return Add(Draft()); }

  ClaimRequest Claimant(const std::string& worker, int count = 1) {
    ClaimRequest request{.capabilities = {}, .ttl = absl::Seconds(30), .claimants = {}};
    for (int i = 0; i < count; ++i) {
      request.claimants.push_back({worker, "life-1", random_.Hex(16)});
    }
    return request;
  }

  void MakeExpired(const JobId& id) {
    EXPECT_OK(store().Update(id, [](Job& job, absl::Time now, Effects&) {
      job.lease->expire_time = now - absl::Seconds(1);
      return absl::OkStatus();
    }));
  }

  FakeRandom random_;
  UuidGenerator ids_{SystemClock(), random_};
  std::unique_ptr<Stores> stores_;
};

}  // namespace crossover::scheduler
