#include "services/training_scheduler/domain/pipeline_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/training_scheduler/domain/fake_pipeline_store.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StateSink final : public PipelineSink {
 public:
  bool Send(const Pipeline& pipeline, const std::string& resume_token) override {
    if (!has_room) return false;
    states.push_back(pipeline.steps[0].state);
    token = resume_token;
    return true;
  }
  bool Gone() override { return gone; }
  void End(absl::Status status) override { end = status; }

  bool has_room = true;
  bool gone = false;
  std::vector<PipelineState> states;  // of the first step
  std::string token;
  std::optional<absl::Status> end;
};

class PipelineWatchTest : public ::testing::Test {
 protected:
  PipelineWatchTest() {
    Pipeline pipeline;
    pipeline.id = "p1";
    pipeline.project = "default";
    pipeline.steps.push_back({.id = "train", .kind = StepKind::kJob, .resource = "{}"});
    EXPECT_OK(store_.Insert(pipeline, {}));
  }

  void Change(const std::function<void(Pipeline&)>& change) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_OK(store_.Update("default", "p1", [&](Pipeline& pipeline) -> absl::StatusOr<bool> {
      change(pipeline);
      return true;
    }));
  }
  void Begin() {
    Change([](Pipeline& pipeline) { EXPECT_TRUE(StepBegun(pipeline, 0, 1)); });
  }
  void End(PipelineState state) {
    Change([&](Pipeline& pipeline) { EXPECT_TRUE(StepEnded(pipeline, 0, 1, state, "why")); });
  }

  FakeClock clock_;
  FakePipelineStore store_{clock_};
  PipelineWatchHub hub_{store_, clock_};
  std::shared_ptr<StateSink> sink_ = std::make_shared<StateSink>();
};

TEST_F(PipelineWatchTest, EveryChangeIsToldOnceAndTheStreamEndsWithThePipeline) {
  ASSERT_OK(hub_.Watch("default", "p1", "", sink_));
  EXPECT_TRUE(hub_.Pump());
  EXPECT_TRUE(hub_.Pump());
  EXPECT_THAT(sink_->states, ElementsAre(PipelineState::kPending));
  Begin();
  EXPECT_TRUE(hub_.Pump());
  End(PipelineState::kSucceeded);
  EXPECT_FALSE(hub_.Pump());
  EXPECT_THAT(sink_->states, ElementsAre(PipelineState::kPending, PipelineState::kRunning,
                                         PipelineState::kSucceeded));
  EXPECT_OK(*sink_->end);
}

TEST_F(PipelineWatchTest, ACancelledPipelineHasNotEndedWhileItsStepRuns) {
  Begin();
  Change([](Pipeline& pipeline) { EXPECT_OK(CancelPipeline(pipeline)); });
  ASSERT_OK(hub_.Watch("default", "p1", "", sink_));
  EXPECT_TRUE(hub_.Pump());
  End(PipelineState::kCancelled);
  EXPECT_FALSE(hub_.Pump());
  EXPECT_OK(*sink_->end);
}

TEST_F(PipelineWatchTest, ATokenRepeatsNothingAndExpiresAfterSevenDays) {
  ASSERT_OK(hub_.Watch("default", "p1", "", sink_));
  hub_.Pump();
  sink_->gone = true;
  EXPECT_FALSE(hub_.Pump());
  const auto second = std::make_shared<StateSink>();
  ASSERT_OK(hub_.Watch("default", "p1", sink_->token, second));
  hub_.Pump();
  EXPECT_THAT(second->states, IsEmpty());
  Begin();
  hub_.Pump();
  EXPECT_THAT(second->states, ElementsAre(PipelineState::kRunning));
  End(PipelineState::kFailed);
  hub_.Pump();
  // Who has seen the end is told that it is the end.
  const auto third = std::make_shared<StateSink>();
  ASSERT_OK(hub_.Watch("default", "p1", second->token, third));
  EXPECT_FALSE(hub_.Pump());
  EXPECT_THAT(third->states, IsEmpty());
  EXPECT_OK(*third->end);

  clock_.Advance(absl::Hours(7 * 24 + 1));
  EXPECT_THAT(hub_.Watch("default", "p1", second->token, third),
              HasReasonThat("RESUME_TOKEN_EXPIRED"));
  EXPECT_THAT(hub_.Watch("default", "p1", "w1-1-2-3", third),
              HasReasonThat("RESUME_TOKEN_EXPIRED"));
  EXPECT_THAT(hub_.Watch("other", "p1", "", third), HasReasonThat("RESOURCE_NOT_FOUND"));
}

TEST_F(PipelineWatchTest, ASlowReaderGetsTheLatestState) {
  ASSERT_OK(hub_.Watch("default", "p1", "", sink_));
  sink_->has_room = false;
  EXPECT_TRUE(hub_.Pump());
  Begin();
  End(PipelineState::kSucceeded);
  EXPECT_TRUE(hub_.Pump());
  EXPECT_FALSE(sink_->end.has_value());
  sink_->has_room = true;
  EXPECT_FALSE(hub_.Pump());
  EXPECT_THAT(sink_->states, ElementsAre(PipelineState::kSucceeded));
}

TEST_F(PipelineWatchTest, ADrainEndsAllStreams) {
  ASSERT_OK(hub_.Watch("default", "p1", "", sink_));
  hub_.Close();
  EXPECT_THAT(*sink_->end, HasReasonThat("SERVER_DRAINING"));
  EXPECT_THAT(hub_.Watch("default", "p1", "", sink_), HasReasonThat("SERVER_DRAINING"));
}

}  // namespace
}  // namespace crossover::scheduler
