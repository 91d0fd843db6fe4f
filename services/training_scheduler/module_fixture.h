// scheduler.v1 over a real server and a real database, with a base model and a data set. For tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/rpc/channel.h"
#include "common/testing/temp_dir.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {

inline constexpr char kData[] = "projects/default/datasets/clauses/versions/sha256:1";

class ModuleTest : public ::testing::Test {
 protected:
  ModuleTest() {
    fixture_.AddBase("smollm2", "sha256:base");
    fixture_.curation().Add(kData, "sha256:data", 2000, 250);
  }

  v1::CreateJobRequest NewJob() {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(v1::Job::SFT);
    request.mutable_job()->set_base_model("smollm2");
    request.mutable_job()->set_dataset_version(kData);
    return request;
  }

  absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) {
    return rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, request);
  }

  absl::StatusOr<v1::LeaseJobResponse> Lease(absl::Duration wait, const std::string& worker = "w") {
    v1::LeaseJobRequest request;
    request.set_worker("workers/" + worker);
    request.set_incarnation("life-1");
    request.mutable_wait()->set_seconds(absl::ToInt64Seconds(wait));
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, request,
                       {.timeout = absl::Seconds(30)});
  }

  v1::HeartbeatRequest Beat(const v1::LeaseJobResponse& leased, int64_t seq) {
    v1::HeartbeatRequest beat;
    beat.set_job(leased.job().name());
    beat.set_token(leased.lease().token());
    beat.set_epoch(leased.lease().epoch());
    beat.set_worker_seq(seq);
    return beat;
  }

  absl::StatusOr<v1::ModelVersion> Import(const v1::ImportModelRequest& request) {
    return rpc::Invoke(*models_, &v1::ModelService::Stub::ImportModel, request);
  }

  crossover::testing::TempDir files_;
  SchedulerFixture fixture_;
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
  std::unique_ptr<v1::ModelService::Stub> models_ = v1::ModelService::NewStub(fixture_.channel());
};

}  // namespace crossover::scheduler
