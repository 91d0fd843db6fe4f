#include "services/trainer_worker/transport/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

pb::LeaseJobResponse Leased(pb::Job::Kind kind) {
  pb::LeaseJobResponse response;
  response.mutable_job()->set_name("projects/p/jobs/j");
  response.mutable_job()->set_kind(kind);
  return response;
}

TEST(GangFromTest, AWorkerAloneIsRankZeroOfOne) {
  ASSERT_OK_AND_ASSIGN(const LeasedJob job, FromProto(Leased(pb::Job::SFT)));
  EXPECT_EQ(job.gang.rank, 0);
  EXPECT_EQ(job.gang.size, 1);
  EXPECT_EQ(job.gang.rendezvous, "");
}

TEST(GangFromTest, TrainingsAreSharedWithTheirRankSizeAndPlace) {
  for (const pb::Job::Kind kind : {pb::Job::SFT, pb::Job::PREFERENCE, pb::Job::DISTIL}) {
    pb::LeaseJobResponse response = Leased(kind);
    response.mutable_gang()->set_rank(1);
    response.mutable_gang()->set_size(3);
    response.mutable_gang()->set_rendezvous("192.0.2.7:7090");
    ASSERT_OK_AND_ASSIGN(const LeasedJob job, FromProto(response));
    EXPECT_EQ(job.gang.rank, 1);
    EXPECT_EQ(job.gang.size, 3);
    EXPECT_EQ(job.gang.rendezvous, "192.0.2.7:7090");
  }
  pb::LeaseJobResponse empty = Leased(pb::Job::SFT);
  empty.mutable_gang();
  EXPECT_EQ(FromProto(empty)->gang.size, 1);
}

TEST(GangFromTest, OtherKindsAreNotKnownToBeShared) {
  for (const pb::Job::Kind kind : {pb::Job::SWEEP, pb::Job::EXPORT}) {
    pb::LeaseJobResponse response = Leased(kind);
    response.mutable_gang()->set_size(2);
    EXPECT_THAT(FromProto(response).status(),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr(pb::Job::Kind_Name(kind) + " for several workers")));
  }
}

TEST(ExportFromTest, AnExportHasTheDateOfItsAdaptersTraining) {
  pb::LeaseJobResponse response = Leased(pb::Job::EXPORT);
  pb::ExportSpec& spec = *response.mutable_resolved_spec()->mutable_model_export();
  spec.set_format(pb::ExportSpec::GGUF_F16);
  spec.set_template_date("2025-02-01");
  ASSERT_OK_AND_ASSIGN(const LeasedJob job, FromProto(response));
  EXPECT_TRUE(job.is_export);
  EXPECT_EQ(job.model_export.template_date, "2025-02-01");
}

TEST(ReleaseReasonTest, EveryOneHasItsName) {
  using Request = pb::ReleaseLeaseRequest;
  EXPECT_EQ(ToProto(ReleaseReason::kDrain), Request::DRAIN);
  EXPECT_EQ(ToProto(ReleaseReason::kPreempted), Request::PREEMPTED);
  EXPECT_EQ(ToProto(ReleaseReason::kPaused), Request::PAUSED);
  EXPECT_EQ(ToProto(ReleaseReason::kCancelled), Request::CANCELLED);
  EXPECT_EQ(ToProto(ReleaseReason::kCrashed), Request::CRASHED);
}

}  // namespace
}  // namespace crossover::worker
