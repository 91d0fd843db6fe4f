#include "services/data_curation/domain/run_worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/log/fake_logger.h"
#include "services/data_curation/domain/fake_curation_store.h"
#include "services/data_curation/domain/testing.h"

namespace crossover::curation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Who sleeps on it moves it: time passes as fast as the code under test waits.
class EagerClock final : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + steady_; }
  absl::Duration SteadyNow() override { return steady_; }
  void SleepFor(absl::Duration duration) override { steady_ += duration; }

 private:
  absl::Duration steady_ = absl::Hours(1);
};

// A store whose database is away: each kind of call fails so many times. Every second failure is of
// the worst sort: the write has happened, only the answer is lost.
class AwayStore final : public FakeCurationStore {
 public:
  using FakeCurationStore::FakeCurationStore;

  absl::Status RecordStep(const RunRecord& run, const FunnelStep& step) override {
    if (throws) throw std::runtime_error("surprise");
    return Away("RecordStep", [&] { return FakeCurationStore::RecordStep(run, step); });
  }
  absl::Status FinishRun(const RunRecord& run) override {
    if (failures > 0 && --failures > 0) return absl::UnavailableError("FinishRun");
    return FakeCurationStore::FinishRun(run);
  }
  absl::Status RenewRun(const RunRecord& run, absl::Duration ttl) override {
    if (failures > 0) return absl::UnavailableError("RenewRun");
    return FakeCurationStore::RenewRun(run, ttl);
  }
  absl::StatusOr<std::optional<Entry>> FindStep(const std::string& key) override {
    if (failures > 0 && --failures > 0) return absl::UnavailableError("FindStep");
    return FakeCurationStore::FindStep(key);
  }
  absl::Status PutStep(const std::string& key, const Entry& entry) override {
    return Away("PutStep", [&] { return FakeCurationStore::PutStep(key, entry); });
  }

  int failures = 0;          // of the calls that come next
  int failures_of_each = 0;  // set anew after each call that succeeds
  bool throws = false;       // in the midst of the pipeline

 private:
  template <typename Call>
  absl::Status Away(const char* name, const Call& call) {
    if (failures > 0) {
      if (--failures % 2 == 1) (void)call();
      return absl::UnavailableError(name);
    }
    failures = failures_of_each;
    return call();
  }
};

class RunWorkerTest : public PipelineFixture {
 protected:
  void SetUp() override {
    PipelineFixture::SetUp();
    pipeline_ = std::make_unique<Pipeline>(*blobs_, store_, catalogue_, time_, dir_ / "scratch");
    ASSERT_OK(store_.CreateDataset({.project = "p", .id = "d"}, {}));
    std::string text;
    for (int i = 0; i < 30; ++i) {
      text += JsonRow(absl::StrCat("q", i * 7919, " z", i * 104729), absl::StrCat("a", i % 3));
    }
    RunRecord run{.project = "p", .dataset = "d", .id = "r"};
    run.inputs = {{.source = "projects/p/files/f", .resolved = File(text)}};
    run.resolved_recipe = *Resolve(DefaultRecipe(), catalogue_);
    ASSERT_OK(store_.CreateRun(run, {}));
  }

  RunRecord Get() { return *store_.GetRun("p", "r"); }
  std::vector<std::string> Events() {
    std::vector<std::string> messages;
    const auto events = store_.ListRunEvents("p", "r", 0, 100);
    for (const RunEvent& event : *events) messages.push_back(event.message);
    return messages;
  }

  EagerClock time_;
  AwayStore store_{time_};
  FakeLogger logger_;
  metrics::Registry registry_{"test"};
  CurationMetrics metrics_{registry_};
  std::optional<RunWorker> worker_;
  RunWorker& worker() {
    if (!worker_.has_value())
      worker_.emplace(RunWorkerOptions{}, store_, *blobs_, *pipeline_, metrics_, time_, logger_);
    return *worker_;
  }
};

TEST_F(RunWorkerTest, AStoreThatIsAwayForAMomentCostsNoWorkAndDoublesNothing) {
  store_.failures = store_.failures_of_each = 4;
  EXPECT_THAT(worker().RunOne(), crossover::testing::IsOkAndHolds(true));
  const RunRecord run = Get();
  EXPECT_EQ(run.state, RunState::kSucceeded) << run.state_reason;
  EXPECT_EQ(run.lease_epoch, 1);
  EXPECT_EQ(run.funnel.size(), 6u);
  EXPECT_THAT(Events(), ElementsAre("QUEUED", "RUNNING", "import", "schema", "exact_duplicates",
                                    "label_conflicts", "near_duplicates", "split", "SUCCEEDED"));
}

TEST_F(RunWorkerTest, ALeaseThatEndsWhileTheStoreIsAwayLeavesTheRunToWhoComesNext) {
  int steps = 0;
  store_.failures_of_each = 0;
  // The import succeeds; then the store is away for longer than the lease.
  PipelineHooks hooks{.on_step = [&](const FunnelStep&) {
    return ++steps == 1 ? absl::OkStatus() : absl::AbortedError("enough");
  }};
  ASSERT_EQ(
      pipeline_->Run({Get().inputs[0].resolved}, Get().resolved_recipe, hooks).status().code(),
      absl::StatusCode::kAborted);
  store_.failures = 1'000'000;
  EXPECT_OK(worker().RunOne());
  EXPECT_EQ(Get().state, RunState::kRunning);
  EXPECT_EQ(logger_.Events("curation_run_lost").size(), 1u);
  store_.failures = 0;
  EXPECT_OK(worker().RunOne());
  const RunRecord run = Get();
  EXPECT_EQ(run.state, RunState::kSucceeded) << run.state_reason;
  EXPECT_EQ(run.lease_epoch, 2);
  EXPECT_TRUE(run.funnel[0].cached);
}

TEST_F(RunWorkerTest, AnExceptionFailsTheRunAndNotTheProcess) {
  store_.throws = true;
  EXPECT_THAT(worker().RunOne(), crossover::testing::IsOkAndHolds(true));
  const RunRecord run = Get();
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.error_reason, "UNHANDLED_EXCEPTION");
  EXPECT_THAT(run.state_reason, HasSubstr("surprise"));
}

TEST_F(RunWorkerTest, RowsThatAreDamagedFailTheRun) {
  std::string artifact;
  {
    ASSERT_OK_AND_ASSIGN(
        const PipelineResult result,
        pipeline_->Run({Get().inputs[0].resolved}, Get().resolved_recipe, PipelineHooks{}));
    artifact = result.rows_artifact;
  }
  // The second of the records of 80 bytes begins with the offset of its row.
  ASSERT_OK_AND_ASSIGN(const auto index, blobs_->LocalPathOf(artifact, "rows.idx"));
  std::string bytes = crossover::testing::ReadFile(index);
  ASSERT_GT(bytes.size(), 160u);
  bytes.replace(80, 8, std::string(8, '\x7f'));
  std::filesystem::remove(index);  // it is read-only
  crossover::testing::WriteFile(index, bytes);
  EXPECT_OK(worker().RunOne());
  EXPECT_EQ(Get().state, RunState::kFailed);
  EXPECT_EQ(Get().error_reason, "DIGEST_MISMATCH") << Get().state_reason;
}

TEST_F(RunWorkerTest, RowsAndSecondsAreCountedByStage) {
  ASSERT_OK(worker().RunOne());
  const std::string text = registry_.Expose();
  EXPECT_THAT(text, HasSubstr("crossover_curation_rows_total{outcome=\"kept\",reason=\"\","
                              "stage=\"import\"} 30"));
  EXPECT_THAT(text, HasSubstr("crossover_curation_stage_seconds_count{stage=\"split\"} 1"));
}

}  // namespace
}  // namespace crossover::curation
