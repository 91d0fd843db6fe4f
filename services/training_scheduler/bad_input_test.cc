// What callers and workers send that they should not: numbers out of range, tokens that are not
// theirs, clocks that are wrong. Over a real server and a real database.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/testing/matchers.h"
#include "crossover/scheduler/v1/job_service.grpc.pb.h"
#include "crossover/scheduler/v1/lease_service.grpc.pb.h"
#include "services/training_scheduler/testing/scheduler_fixture.h"

namespace crossover::scheduler {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr int64_t kEndOfTime = std::numeric_limits<int64_t>::max();
constexpr char kRows[] = "projects/default/datasets/d/versions/sha256:1";

class BadInputTest : public ::testing::Test {
 protected:
  BadInputTest() {
    fixture_.AddBase("base", "sha256:base");
    fixture_.curation().Add(kRows, "sha256:data", 2000, 250);
  }

  static v1::CreateJobRequest Request() {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.mutable_job()->set_kind(v1::Job::SFT);
    request.mutable_job()->set_base_model("base");
    request.mutable_job()->set_dataset_version(kRows);
    return request;
  }

  absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) {
    return rpc::Invoke(*jobs_, &v1::JobService::Stub::CreateJob, request);
  }

  // Names of the fields that the answer blames.
  static std::vector<std::string> Blamed(const absl::Status& status) {
    std::vector<std::string> fields;
    for (const FieldViolation& violation : DetailOf(status).violations) {
      fields.push_back(violation.field);
    }
    return fields;
  }

  v1::LeaseJobResponse Lease(const std::string& worker) {
    v1::LeaseJobRequest request;
    request.set_worker("workers/" + worker);
    request.set_incarnation("life");
    auto leased = rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, request);
    EXPECT_OK(leased);
    EXPECT_TRUE(leased->has_job());
    return *leased;
  }

  template <typename Request>
  static Request With(const v1::LeaseJobResponse& leased) {
    Request request;
    request.set_job(leased.job().name());
    request.set_token(leased.lease().token());
    request.set_epoch(leased.lease().epoch());
    return request;
  }

  absl::Status Beat(const v1::HeartbeatRequest& request) {
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::Heartbeat, request).status();
  }
  absl::Status Record(const v1::RecordCheckpointRequest& request) {
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::RecordCheckpoint, request).status();
  }
  absl::Status Complete(v1::CompleteJobRequest request) {
    request.mutable_success();
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::CompleteJob, request).status();
  }
  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    return *rpc::Invoke(*jobs_, &v1::JobService::Stub::GetJob, request);
  }

  SchedulerFixture fixture_;
  std::unique_ptr<v1::JobService::Stub> jobs_ = v1::JobService::NewStub(fixture_.channel());
  std::unique_ptr<v1::LeaseService::Stub> leases_ = v1::LeaseService::NewStub(fixture_.channel());
};

// Far below what any number may be. False if the field is no number.
bool SetAbsurd(Message& message, const FieldDescriptor& field) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (field.is_repeated()) return false;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      reflection.SetInt32(&message, &field, -2'000'000'000);
      return true;
    case FieldDescriptor::CPPTYPE_INT64:
      reflection.SetInt64(&message, &field, -2'000'000'000);
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      reflection.SetDouble(&message, &field, -1e30);
      return true;
    default:
      return false;
  }
}

// By reflection, so that a field which is added later and not checked fails here.
TEST_F(BadInputTest, EveryNumberOfATrainingIsNamedWhenItIsOutOfRange) {
  constexpr int kFirstResolved = 40;  // from here on: output only
  int checked = 0;
  for (const bool of_adapter : {false, true}) {
    const auto* type = of_adapter ? v1::AdapterSpec::descriptor() : v1::TrainingSpec::descriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      if (type->field(i)->number() >= kFirstResolved) continue;
      v1::CreateJobRequest request = Request();
      v1::TrainingSpec* spec = request.mutable_job()->mutable_spec()->mutable_training();
      Message& message = of_adapter ? static_cast<Message&>(*spec->mutable_adapter()) : *spec;
      if (!SetAbsurd(message, *type->field(i))) continue;
      const absl::Status status = Create(request).status();
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << type->field(i)->name();
      EXPECT_THAT(Blamed(status),
                  Contains(absl::StrCat("spec.training.", of_adapter ? "adapter." : "",
                                        type->field(i)->name())));
      ++checked;
    }
  }
  EXPECT_GE(checked, 25);
}

TEST_F(BadInputTest, EveryFieldOfAJobIsNamedWhenItIsWrong) {
  using Job = v1::Job;
  const std::vector<std::pair<const char*, void (*)(Job&)>> wrongs = {
      {"priority", [](Job& job) { job.set_priority(101); }},
      {"priority", [](Job& job) { job.set_priority(-101); }},
      {"max_failures", [](Job& job) { job.set_max_failures(-1); }},
      {"max_failures", [](Job& job) { job.set_max_failures(101); }},
      {"queue", [](Job& job) { job.set_queue("No Slug"); }},
      {"deadline", [](Job& job) { job.mutable_deadline()->set_seconds(1); }},
      {"deadline", [](Job& job) { job.mutable_deadline()->set_seconds(kEndOfTime); }},
      {"deadline",
       [](Job& job) {
         job.mutable_start_time()->set_seconds(4'000'000'001);
         job.mutable_deadline()->set_seconds(4'000'000'000);
       }},
      {"start_time", [](Job& job) { job.mutable_start_time()->set_seconds(kEndOfTime); }},
      {"requirements.device", [](Job& job) { job.mutable_requirements()->set_device("tpu"); }},
      {"requirements.memory_bytes",
       [](Job& job) { job.mutable_requirements()->set_memory_bytes(-1); }},
      {"base_model", [](Job& job) { job.set_base_model("gpt-5"); }},
      {"dataset_version",
       [](Job& job) { job.set_dataset_version("projects/default/datasets/x/versions/sha256:0"); }},
      {"dataset_version",
       [](Job& job) { job.set_dataset_version("projects/other/datasets/d/versions/sha256:1"); }},
      {"task", [](Job& job) { job.set_task("projects/other/tasks/t"); }},
      {"depends_on",
       [](Job& job) { job.add_depends_on("projects/default/jobs/00000000000000000000000000"); }},
      {"kind", [](Job& job) { job.clear_kind(); }},
  };
  for (const auto& [field, spoil] : wrongs) {
    v1::CreateJobRequest request = Request();
    spoil(*request.mutable_job());
    const absl::Status status = Create(request).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << field;
    EXPECT_THAT(Blamed(status), Contains(field));
  }
}

TEST_F(BadInputTest, ADeadlineThatIsNoDateIsNamedAndKeepsNobodyFromAskingForWork) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(Request()));
  for (const int64_t seconds : {kEndOfTime, int64_t{9'223'400'000'000}, -kEndOfTime}) {
    v1::UpdateJobRequest request;
    request.mutable_job()->set_name(job.name());
    request.mutable_job()->mutable_deadline()->set_seconds(seconds);
    const absl::Status status =
        rpc::Invoke(*jobs_, &v1::JobService::Stub::UpdateJob, request).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << seconds;
    EXPECT_THAT(Blamed(status), Contains("job.deadline")) << seconds;
  }
  EXPECT_EQ(Lease("w").job().name(), job.name());
}

TEST_F(BadInputTest, WhatAWorkerSaysOutOfRangeIsNamedAndChangesNothing) {
  ASSERT_OK(Create(Request()));
  const v1::LeaseJobResponse leased = Lease("w");
  const auto beat = [&](const char* field, auto spoil) {
    auto request = With<v1::HeartbeatRequest>(leased);
    request.set_worker_seq(10);
    spoil(request);
    EXPECT_THAT(Blamed(Beat(request)), Contains(field));
  };
  using Heartbeat = v1::HeartbeatRequest;
  beat("worker_seq", [](Heartbeat& it) { it.set_worker_seq(-1); });
  beat("peak_memory_bytes", [](Heartbeat& it) { it.set_peak_memory_bytes(-1); });
  beat("progress.step", [](Heartbeat& it) { it.mutable_progress()->set_step(-1); });
  beat("events[0].worker_seq", [](Heartbeat& it) { it.add_events()->set_worker_seq(0); });
  beat("events[0].worker_seq", [](Heartbeat& it) { it.add_events()->set_worker_seq(10); });
  beat("events[1].worker_seq", [](Heartbeat& it) {
    it.add_events()->set_worker_seq(5);
    it.add_events()->set_worker_seq(5);
  });
  beat("metrics[0].step", [](Heartbeat& it) { it.add_metrics()->set_step(-3); });

  auto checkpoint = With<v1::RecordCheckpointRequest>(leased);
  EXPECT_THAT(Blamed(Record(checkpoint)), ::testing::UnorderedElementsAre("step", "digest"));
  auto done = With<v1::CompleteJobRequest>(leased);
  done.mutable_success()->set_trained_tokens(-1);
  done.mutable_last_report()->set_worker_seq(-4);
  EXPECT_THAT(Blamed(Complete(done)),
              ::testing::UnorderedElementsAre("success.trained_tokens", "last_report.worker_seq"));
  v1::LeaseJobRequest lease;
  lease.set_worker("workers/w");
  lease.set_incarnation("life");
  lease.mutable_wait()->set_seconds(-5);
  lease.mutable_capabilities()->add_devices()->set_memory_bytes(-1);
  EXPECT_THAT(
      Blamed(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, lease).status()),
      ::testing::UnorderedElementsAre("wait.seconds", "capabilities.devices[0].memory_bytes"));

  const v1::Job job = Get(leased.job().name());
  EXPECT_EQ(job.state(), v1::Job::RUNNING);
  EXPECT_EQ(job.progress().step(), 0);
  EXPECT_EQ(job.outputs().checkpoints_size(), 0);
}

TEST_F(BadInputTest, ATokenIsGoodForItsOwnJobAndLeaseAlone) {
  ASSERT_OK(Create(Request()));
  ASSERT_OK(Create(Request()));
  const v1::LeaseJobResponse mine = Lease("a");
  const v1::LeaseJobResponse theirs = Lease("b");
  ASSERT_NE(mine.job().name(), theirs.job().name());
  const auto refused = [&](const v1::LeaseJobResponse& forged) {
    EXPECT_THAT(Beat(With<v1::HeartbeatRequest>(forged)), HasReasonThat("LEASE_LOST"));
    EXPECT_THAT(Complete(With<v1::CompleteJobRequest>(forged)), HasReasonThat("LEASE_LOST"));
  };
  v1::LeaseJobResponse forged = theirs;  // another job's token
  *forged.mutable_lease() = mine.lease();
  refused(forged);
  forged = theirs;  // another epoch
  forged.mutable_lease()->set_epoch(theirs.lease().epoch() + 1);
  refused(forged);
  forged.mutable_lease()->set_epoch(0);
  refused(forged);
  for (const std::string& guess :
       {std::string(), std::string(32, '0'), theirs.lease().token() + "0",
        theirs.lease().token().substr(1), std::string(1 << 16, 'x')}) {
    forged = theirs;
    forged.mutable_lease()->set_token(guess);
    refused(forged);
  }
  EXPECT_EQ(Get(theirs.job().name()).state(), v1::Job::RUNNING);
  EXPECT_OK(Beat(With<v1::HeartbeatRequest>(theirs)));
}

TEST_F(BadInputTest, WhatIsReplayedAfterTheLeaseIsOverDoesNothing) {
  ASSERT_OK(Create(Request()));
  const v1::LeaseJobResponse first = Lease("a");
  v1::ReleaseLeaseRequest release = With<v1::ReleaseLeaseRequest>(first);
  release.set_reason(v1::ReleaseLeaseRequest::DRAIN);
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, release));
  const v1::LeaseJobResponse second = Lease("b");
  // All that the first worker ever said, said again by whoever has heard it.
  EXPECT_THAT(rpc::Invoke(*leases_, &v1::LeaseService::Stub::ReleaseLease, release),
              HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(Beat(With<v1::HeartbeatRequest>(first)), HasReasonThat("LEASE_LOST"));
  EXPECT_THAT(Complete(With<v1::CompleteJobRequest>(first)), HasReasonThat("LEASE_LOST"));
  ASSERT_OK(Complete(With<v1::CompleteJobRequest>(second)));
  EXPECT_THAT(Complete(With<v1::CompleteJobRequest>(second)), HasReasonThat("LEASE_LOST"));
  EXPECT_EQ(Get(first.job().name()).state(), v1::Job::SUCCEEDED);
}

// In a rolling upgrade workers and schedulers of two versions talk to each other.
TEST_F(BadInputTest, FieldsOfALaterVersionAreNoFault) {
  const auto add_unknown = [](Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(9999, 7);
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(9998, "later");
  };
  v1::CreateJobRequest create = Request();
  add_unknown(*create.mutable_job());
  ASSERT_OK(Create(create));
  v1::LeaseJobRequest lease;
  lease.set_worker("workers/later");
  lease.set_incarnation("life");
  lease.mutable_capabilities()->add_kinds("SFT");
  lease.mutable_capabilities()->add_kinds("A_KIND_OF_LATER");
  add_unknown(lease);
  ASSERT_OK_AND_ASSIGN(v1::LeaseJobResponse leased,
                       rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, lease));
  ASSERT_TRUE(leased.has_job());
  auto beat = With<v1::HeartbeatRequest>(leased);
  beat.set_worker_seq(1);
  add_unknown(beat);
  EXPECT_OK(Beat(beat));
  auto done = With<v1::CompleteJobRequest>(leased);
  add_unknown(done);
  EXPECT_OK(Complete(done));
}

// A worker's clock decides nothing: neither its lease nor the order of what it says.
TEST_F(BadInputTest, AWorkerWhoseClockIsAnHourOffWorksAsAnyOther) {
  for (const int64_t offset : {-3600, 3600}) {
    ASSERT_OK(Create(Request()));
    const v1::LeaseJobResponse leased = Lease("w");
    const int64_t now = absl::ToUnixSeconds(SystemClock().Now());
    auto beat = With<v1::HeartbeatRequest>(leased);
    beat.set_worker_seq(2);
    v1::JobEvent* event = beat.add_events();
    event->set_worker_seq(1);
    event->set_message("loaded");
    event->mutable_time()->set_seconds(now + offset);
    v1::MetricPoint* point = beat.add_metrics();
    point->set_step(1);
    point->mutable_time()->set_seconds(now + offset);
    ASSERT_OK(Beat(beat));
    ASSERT_OK(Complete(With<v1::CompleteJobRequest>(leased)));
    const v1::Job job = Get(leased.job().name());
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
    EXPECT_LT(std::abs(job.finish_time().seconds() - now), 60);
    v1::ListJobEventsRequest list;
    list.set_parent(job.name());
    ASSERT_OK_AND_ASSIGN(v1::ListJobEventsResponse events,
                         rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobEvents, list));
    for (const v1::JobEvent& each : events.events()) {
      EXPECT_LT(std::abs(each.time().seconds() - now), 60) << each.message();
    }
    v1::ListMetricPointsRequest list_points;
    list_points.set_parent(job.name());
    ASSERT_OK_AND_ASSIGN(v1::ListMetricPointsResponse points,
                         rpc::Invoke(*jobs_, &v1::JobService::Stub::ListMetricPoints, list_points));
    ASSERT_EQ(points.points_size(), 1);
    EXPECT_LT(std::abs(points.points(0).time().seconds() - now), 60);
  }
}

TEST_F(BadInputTest, AGangThatCannotBeIsRefused) {
  v1::CreateJobRequest request = Request();
  request.mutable_job()->mutable_requirements()->set_gang_size(2);
  request.mutable_job()->set_kind(v1::Job::SWEEP);
  EXPECT_THAT(std::string(Create(request).status().message()), HasSubstr("kind SWEEP"));
  request.mutable_job()->set_kind(v1::Job::SFT);
  v1::LeaseJobRequest worker;
  worker.set_worker("workers/alone");
  worker.set_incarnation("life");
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker));
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status, HasReasonThat("NO_CAPABLE_WORKER"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("of the 1 workers"));
}

TEST_F(BadInputTest, EveryWorkerOfAGangMustHoldTheJob) {
  const auto wait = [&](const std::string& name, int64_t gib, int32_t gang) {
    v1::LeaseJobRequest worker;
    worker.set_worker("workers/" + name);
    worker.set_incarnation("life");
    worker.mutable_capabilities()->set_gang(gang);
    worker.mutable_capabilities()->set_rendezvous("127.0.0.1:7090");
    v1::Capabilities::Device* device = worker.mutable_capabilities()->add_devices();
    device->set_kind("cpu");
    device->set_memory_bytes(gib << 30);
    ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker));
  };
  wait("alone", 64, 1);
  wait("large", 16, 2);
  wait("small", 8, 2);
  v1::CreateJobRequest request = Request();
  request.mutable_job()->mutable_requirements()->set_gang_size(2);
  request.mutable_job()->mutable_requirements()->set_memory_bytes(int64_t{12} << 30);
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status, HasReasonThat("NO_CAPABLE_WORKER"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the smallest of the 2 largest of the 2 workers that could take the job, "
                        "small, has 8589934592"));
  request.mutable_job()->mutable_requirements()->set_memory_bytes(int64_t{8} << 30);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Create(request));
  EXPECT_THAT(Get(job.name()).state_reason(),
              HasSubstr("waits for 2 workers that are idle at once: 2 of 2 that can take it are"));
  v1::ListJobsRequest list;
  list.set_parent("projects/default");
  ASSERT_OK_AND_ASSIGN(const v1::ListJobsResponse jobs,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::ListJobs, list));
  EXPECT_EQ(jobs.jobs(0).state_reason(), Get(job.name()).state_reason());
}

TEST_F(BadInputTest, WorkersThatComputeInTwoTypesAreNoGang) {
  const auto wait = [&](const std::string& name, const std::vector<std::string>& types) {
    v1::LeaseJobRequest worker;
    worker.set_worker("workers/" + name);
    worker.set_incarnation("life");
    worker.mutable_capabilities()->set_gang(2);
    worker.mutable_capabilities()->set_rendezvous("127.0.0.1:7090");
    for (const std::string& type : types) worker.mutable_capabilities()->add_compute_types(type);
    return rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker).status();
  };
  EXPECT_THAT(wait("odd", {"float8"}), HasReasonThat("FIELD_INVALID"));
  ASSERT_OK(wait("old", {"float32"}));
  ASSERT_OK(wait("new", {"bfloat16", "float32"}));
  v1::CreateJobRequest request = Request();
  request.mutable_job()->mutable_requirements()->set_gang_size(2);
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status, HasReasonThat("NO_CAPABLE_WORKER"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--compute-type"));
  v1::GetWorkerRequest get;
  get.set_name("workers/new");
  ASSERT_OK_AND_ASSIGN(const v1::Worker worker,
                       rpc::Invoke(*jobs_, &v1::JobService::Stub::GetWorker, get));
  EXPECT_THAT(worker.capabilities().compute_types(), ::testing::ElementsAre("bfloat16", "float32"));
}

TEST_F(BadInputTest, AJobThatNoWorkerCanHoldIsRefusedWithTheNumbers) {
  v1::LeaseJobRequest worker;
  worker.set_worker("workers/small");
  worker.set_incarnation("life");
  v1::Capabilities::Device* device = worker.mutable_capabilities()->add_devices();
  device->set_kind("cpu");
  device->set_memory_bytes(int64_t{8} << 30);
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker));
  v1::CreateJobRequest request = Request();
  request.mutable_job()->mutable_requirements()->set_memory_bytes(int64_t{31} << 30);
  const absl::Status status = Create(request).status();
  EXPECT_THAT(status, HasReasonThat("NO_CAPABLE_WORKER"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("31.0 GiB"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("small, has 8589934592 (8.0 GiB)"));
  // With a worker that can hold it, the job is for that one alone.
  worker.set_worker("workers/large");
  device->set_memory_bytes(int64_t{64} << 30);
  ASSERT_OK(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker));
  ASSERT_OK_AND_ASSIGN(v1::Job job, Create(request));
  worker.set_worker("workers/small");
  device->set_memory_bytes(int64_t{8} << 30);
  EXPECT_FALSE(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker)->has_job());
  worker.set_worker("workers/large");
  device->set_memory_bytes(int64_t{64} << 30);
  EXPECT_EQ(rpc::Invoke(*leases_, &v1::LeaseService::Stub::LeaseJob, worker)->job().name(),
            job.name());
}

}  // namespace
}  // namespace crossover::scheduler
