// What every JobStore says of the adapters that jobs made.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "services/training_scheduler/storage/job_store_fixture.h"

namespace crossover::scheduler {
namespace {

TEST_P(JobStoreConformance, AnAdapterIsFoundByItselfAndByItsCheckpoint) {
  const Job job = Add();
  ASSERT_OK(store().Update(job.id, [](Job& mine, absl::Time now, Effects& effects) {
    mine.inputs.base_digest = "sha256:base";
    mine.outputs.adapter_digest = "sha256:last";
    mine.outputs.report_digest = "sha256:report";
    effects.checkpoints.push_back({.step = 10,
                                   .digest = "sha256:state-10",
                                   .adapter_digest = "sha256:at-10",
                                   .create_time = now});
    effects.checkpoints.push_back({.step = 20, .digest = "sha256:state-20", .create_time = now});
    return absl::OkStatus();
  }));
  const auto found = [&](const std::string& digest, const std::string& project = "default") {
    const absl::StatusOr<std::optional<MadeAdapter>> adapter = store().FindAdapter(project, digest);
    EXPECT_OK(adapter);
    if (!adapter.ok() || !adapter->has_value()) return std::string("none");
    return (*adapter)->digest + " of " + (*adapter)->base_digest;
  };
  EXPECT_EQ(found("sha256:last"), "sha256:last of sha256:base");
  EXPECT_EQ(found("sha256:at-10"), "sha256:at-10 of sha256:base");
  EXPECT_EQ(found("sha256:state-10"), "sha256:at-10 of sha256:base");
  EXPECT_EQ(found("sha256:state-20"), "none");  // it has no adapter
  EXPECT_EQ(found("sha256:report"), "none");
  EXPECT_EQ(found("sha256:base"), "none");
  EXPECT_EQ(found("sha256:last", "other"), "none");
  EXPECT_EQ(found(""), "none");
}

}  // namespace
}  // namespace crossover::scheduler
