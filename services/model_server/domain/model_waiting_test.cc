// LoadedModels: who waits for a model that is being read, and who need not.
#include <gmock/gmock.h>

#include <thread>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;

class ModelWaitingTest : public ModelFixture {
 protected:
  void Start(int max_waiting) {
    MakeModels({.max_waiting = max_waiting});
    ASSERT_OK(models_->LoadBase(base_, {"small"}));
    ASSERT_OK(models_->LoadAdapter(hot_, {}, false, base_));
    engine().HoldLoads();
    reading_ = std::thread([this] { EXPECT_OK(models_->Acquire(cold_)); });
    ASSERT_TRUE(engine().WaitForHeldLoads(1));
  }

  void TearDown() override {
    if (!reading_.joinable()) return;
    engine().ReleaseLoads();
    reading_.join();
  }

  const std::string hot_ = Adapter("hot", base_), cold_ = Adapter("cold", base_);
  std::thread reading_;
};

TEST_F(ModelWaitingTest, MoreThanTheBoundAreTurnedAwayAndWhatIsInMemoryIsServed) {
  Start(1);
  const absl::Status same = models_->Acquire(cold_).status();
  EXPECT_THAT(same, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(same, HasReasonThat("SERVICE_UNAVAILABLE"));
  EXPECT_THAT(models_->Acquire(Adapter("other", base_)).status(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(models_->Acquire(hot_)->digest(), hot_);
  EXPECT_EQ(models_->Acquire("small")->digest(), base_);
  engine().ReleaseLoads();
  reading_.join();
  EXPECT_OK(models_->Acquire(Adapter("other", base_)));  // The place is free again.
}

TEST_F(ModelWaitingTest, AWaitEndsWithItsClientAndWithItsDeadline) {
  Start(10);
  EXPECT_THAT(models_->Acquire(cold_, {.gone = [] { return true; }}).status(),
              HasReasonThat("CALL_CANCELLED"));
  EXPECT_THAT(models_->Acquire(cold_, {.deadline = clock_.SteadyNow()}).status(),
              HasReasonThat("DEADLINE_PASSED"));
  EXPECT_OK(models_->Acquire(hot_, {.gone = [] { return true; }}));  // Nothing to wait for.
}

TEST_F(ModelWaitingTest, AnAdapterThatIsLeavingStaysForARequestAndItsNameGoes) {
  ASSERT_OK(models_->LoadBase(base_, {"small"}));
  ASSERT_OK(models_->LoadAdapter(hot_, {"name"}, false, base_));
  const auto lease = models_->Acquire(hot_);  // Until the end of the test.
  ASSERT_OK(lease);
  ASSERT_OK(models_->UnloadAdapter("name"));
  EXPECT_THAT(models_->Acquire("name").status(), HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_EQ(models_->Acquire(hot_)->digest(), hot_);
  EXPECT_THAT(engine().Adapters(), ElementsAre(hot_));
  EXPECT_EQ(models_->List()[1].state, ModelState::kReady);
}

}  // namespace
}  // namespace crossover::inference
