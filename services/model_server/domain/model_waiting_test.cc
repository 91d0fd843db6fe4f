// LoadedModels: who waits for a model that is being read, and who need not.
#include <gmock/gmock.h>

#include <future>
#include <thread>
#include <vector>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;

class ModelWaitingTest : public ModelFixture {
 protected:
  // A base that was there before is being read again, while `base_` and `hot_` are in memory.
  void ReadBase(int max_waiting) {
    MakeModels({.max_bases = 2, .max_waiting = max_waiting});
    ASSERT_OK(models_->LoadBase(base_, {"small"}));
    ASSERT_OK(models_->LoadAdapter(hot_, {}, /*pinned=*/true, base_));
    ASSERT_OK(models_->LoadBase(*blobs_->PutBytes("second"), {"second"}));
    ASSERT_OK(models_->LoadBase(*blobs_->PutBytes("third"), {"third"}));
    std::promise<void> reads;
    loader_.OnLoad([&] {
      reads.set_value();
      go_on_.get_future().wait();
    });
    reading_ = std::thread([this] { EXPECT_OK(models_->Acquire("second")); });
    reads.get_future().wait();
  }

  void EndReading() {
    go_on_.set_value();
    reading_.join();
    loader_.OnLoad(nullptr);
  }

  void TearDown() override {
    if (reading_.joinable()) EndReading();
  }

  const std::string hot_ = Adapter("hot", base_), cold_ = Adapter("cold", base_);
  std::promise<void> go_on_;
  std::thread reading_;
};

TEST_F(ModelWaitingTest, MoreThanTheBoundAreTurnedAwayAndWhatIsInMemoryIsServed) {
  ReadBase(1);
  const absl::Status same = models_->Acquire("second").status();
  EXPECT_THAT(same, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(same, HasReasonThat("SERVICE_UNAVAILABLE"));
  EXPECT_THAT(models_->Acquire(cold_).status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(models_->Acquire(hot_)->digest(), hot_);
  EXPECT_EQ(models_->Acquire("small")->digest(), base_);
  EndReading();
  EXPECT_OK(models_->Acquire(cold_));  // The place is free again.
}

TEST_F(ModelWaitingTest, AnyNumberMayWaitForAnAdapter) {
  MakeModels({.max_waiting = 1});
  ASSERT_OK(models_->LoadBase(base_, {"small"}));
  engine().HoldLoads();
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back([this] { EXPECT_OK(models_->Acquire(cold_)); });
  ASSERT_TRUE(engine().WaitForHeldLoads(1));
  EXPECT_THAT(models_->Acquire(cold_, {.deadline = clock_.SteadyNow()}).status(),
              HasReasonThat("DEADLINE_PASSED"));  // it would have waited
  engine().ReleaseLoads();
  for (std::thread& caller : callers) caller.join();
}

TEST_F(ModelWaitingTest, AWaitEndsWithItsClientAndWithItsDeadline) {
  ReadBase(10);
  EXPECT_THAT(models_->Acquire("second", {.gone = [] { return true; }}).status(),
              HasReasonThat("CALL_CANCELLED"));
  EXPECT_THAT(models_->Acquire("second", {.deadline = clock_.SteadyNow()}).status(),
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
