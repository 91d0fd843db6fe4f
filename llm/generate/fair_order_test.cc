#include "llm/generate/fair_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;

class FairOrderTest : public testing::Test {
 protected:
  Sequence* Join(RequestId id, const std::string& flow, int64_t tokens, int priority = 0) {
    auto sequence = std::make_unique<Sequence>();
    sequence->id = id;
    sequence->flow = flow;
    sequence->priority = priority;
    sequence->prompt.assign(static_cast<size_t>(tokens), 1);
    sequence->sampling.max_tokens = 1;
    order_.Join(*sequence);
    const auto place = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& other) {
      return FairOrder::Passes(*sequence, *other);
    });
    return waiting_.insert(place, std::move(sequence))->get();
  }

  std::vector<RequestId> AdmitAll() {
    std::vector<RequestId> ids;
    for (const auto& sequence : waiting_) {
      order_.Admitted(*sequence);
      ids.push_back(sequence->id);
    }
    waiting_.clear();
    return ids;
  }

  FairOrder order_;
  std::vector<std::unique_ptr<Sequence>> waiting_;
};

TEST_F(FairOrderTest, OneFlowIsFirstComeFirstServed) {
  Join(1, "a", 500);
  Join(2, "a", 1);
  Join(3, "a", 50);
  EXPECT_THAT(AdmitAll(), ElementsAre(1, 2, 3));
}

TEST_F(FairOrderTest, AFlowThatAsksForMuchWaitsBehindItself) {
  for (RequestId id = 1; id <= 4; ++id) Join(id, "a", 99);
  Join(11, "b", 99);
  Join(12, "b", 99);
  EXPECT_THAT(AdmitAll(), ElementsAre(1, 11, 2, 12, 3, 4));
}

TEST_F(FairOrderTest, LongPromptsCostTheirFlowMore) {
  for (RequestId id = 1; id <= 2; ++id) Join(id, "a", 299);
  for (RequestId id = 11; id <= 15; ++id) Join(id, "b", 99);
  EXPECT_THAT(AdmitAll(), ElementsAre(1, 11, 12, 13, 2, 14, 15));
}

TEST_F(FairOrderTest, TimeSpentIdleIsNotSaved) {
  Join(1, "b", 99);
  for (RequestId id = 2; id <= 9; ++id) Join(id, "a", 99);
  AdmitAll();
  for (RequestId id = 21; id <= 23; ++id) Join(id, "b", 99);
  Join(31, "a", 99);
  // Flow a stands where it was, one request on; flow b begins now and gets one in between.
  EXPECT_THAT(AdmitAll(), ElementsAre(21, 22, 31, 23));
}

TEST_F(FairOrderTest, PriorityGoesFirstAndNobodyPassesWhatWasPreempted) {
  Join(1, "a", 9);
  Join(2, "b", 9, 1);
  Join(3, "c", 9, -1);
  waiting_.front()->preempted = true;
  Join(4, "d", 9, 5);
  EXPECT_THAT(AdmitAll(), ElementsAre(2, 4, 1, 3));
}

TEST_F(FairOrderTest, IdleFlowsAreForgotten) {
  for (int i = 0; i < 5000; ++i) {
    Join(static_cast<RequestId>(i), "flow " + std::to_string(i), 1);
    AdmitAll();
    Join(static_cast<RequestId>(i), "other", 9);
    AdmitAll();
  }
  EXPECT_LT(order_.flows(), 2000u);
}

}  // namespace
}  // namespace crossover::llm
