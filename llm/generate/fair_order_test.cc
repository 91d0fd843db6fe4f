#include "llm/generate/fair_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;

class FairOrderTest : public testing::Test {
 protected:
  Sequence* Join(RequestId id, const std::string& caller, int64_t tokens, int priority = 0,
                 uint64_t adapter = 0) {
    auto sequence = std::make_unique<Sequence>();
    Sequence* joined = sequence.get();
    sequence->id = id;
    sequence->caller = caller;
    sequence->owner.adapter = adapter;
    sequence->priority = priority;
    sequence->prompt.assign(static_cast<size_t>(tokens), 1);
    sequence->sampling.max_tokens = 1;
    order_.Join(std::move(sequence), waiting_);
    return joined;
  }

  // The first so many that wait; -1: all.
  std::vector<RequestId> Admit(int count = -1) {
    std::vector<RequestId> ids;
    for (; !waiting_.empty() && count != 0; --count) {
      order_.Admitted(*waiting_.front());
      ids.push_back(waiting_.front()->id);
      waiting_.pop_front();
    }
    return ids;
  }

  FairOrder order_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
};

TEST_F(FairOrderTest, OneCallerIsFirstComeFirstServed) {
  Join(1, "a", 500);
  Join(2, "a", 1);
  Join(3, "a", 50);
  EXPECT_THAT(Admit(), ElementsAre(1, 2, 3));
}

TEST_F(FairOrderTest, ACallerThatAsksForMuchWaitsBehindItself) {
  for (RequestId id = 1; id <= 4; ++id) Join(id, "a", 99);
  Join(11, "b", 99);
  Join(12, "b", 99);
  EXPECT_THAT(Admit(), ElementsAre(1, 11, 2, 12, 3, 4));
}

TEST_F(FairOrderTest, LongPromptsCostTheirCallerMore) {
  for (RequestId id = 1; id <= 2; ++id) Join(id, "a", 299);
  for (RequestId id = 11; id <= 15; ++id) Join(id, "b", 99);
  EXPECT_THAT(Admit(), ElementsAre(1, 11, 12, 13, 2, 14, 15));
}

TEST_F(FairOrderTest, TimeSpentIdleIsNotSaved) {
  Join(1, "b", 99);
  for (RequestId id = 2; id <= 9; ++id) Join(id, "a", 99);
  Admit();
  for (RequestId id = 21; id <= 23; ++id) Join(id, "b", 99);
  Join(31, "a", 99);
  // Caller a stands where it was, one request on; b begins now and gets one in between.
  EXPECT_THAT(Admit(), ElementsAre(21, 22, 31, 23));
}

TEST_F(FairOrderTest, PriorityGoesFirstAndNobodyPassesWhatWasPreempted) {
  Join(1, "a", 9);
  Join(2, "b", 9, 1);
  Join(3, "c", 9, -1);
  waiting_.front()->preempted = true;
  Join(4, "d", 9, 5);
  EXPECT_THAT(Admit(), ElementsAre(2, 4, 1, 3));
}

TEST_F(FairOrderTest, ManyAdaptersAreNotManyShares) {
  for (uint64_t i = 1; i <= 6; ++i) Join(i, "a", 99, 0, /*adapter=*/i);
  Join(11, "b", 99, 0, 1);
  Join(12, "b", 99, 0, 1);
  Join(13, "b", 99, 0, 1);
  EXPECT_THAT(Admit(), ElementsAre(1, 11, 2, 12, 3, 13, 4, 5, 6));
}

TEST_F(FairOrderTest, NewMixesBringNoNewShareLater) {
  for (uint64_t i = 1; i <= 4; ++i) Join(i, "a", 99, 0, i);
  for (uint64_t i = 11; i <= 13; ++i) Join(i, "b", 99);
  EXPECT_THAT(Admit(2), ElementsAre(1, 11));
  Join(5, "a", 99, 0, 5);
  EXPECT_THAT(Admit(), ElementsAre(2, 12, 3, 13, 4, 5));
}

TEST_F(FairOrderTest, TheAdaptersOfACallerShareItsPlaces) {
  for (uint64_t i = 1; i <= 4; ++i) Join(i, "a", 99, 0, /*adapter=*/1);
  Join(11, "b", 99);
  Join(12, "b", 99);
  Join(21, "a", 99, 0, /*adapter=*/2);
  Join(22, "a", 99, 0, 2);
  EXPECT_THAT(Admit(), ElementsAre(1, 11, 21, 12, 2, 22, 3, 4));
}

TEST_F(FairOrderTest, LongPromptsOfAnAdapterCostTheOthersOfItsCallerNothing) {
  for (uint64_t i = 1; i <= 3; ++i) Join(i, "a", 299, 0, 1);
  for (uint64_t i = 11; i <= 14; ++i) Join(i, "a", 99, 0, 2);
  EXPECT_THAT(Admit(), ElementsAre(1, 11, 12, 13, 2, 14, 3));
}

TEST_F(FairOrderTest, OrderWithinACallerKeepsToItsPriority) {
  Join(1, "a", 99, 1, 1);
  Join(2, "a", 99, 0, 1);
  Join(3, "a", 99, 0, 2);
  Join(4, "a", 99, 1, 1);
  EXPECT_THAT(Admit(), ElementsAre(1, 4, 3, 2));
}

TEST_F(FairOrderTest, OneCallerOfManyMixesIsForgottenInPart) {
  for (uint64_t i = 0; i < 5000; ++i) {
    Join(i, "a", 9, 0, i);
    Join(i, "a", 9, 0, i);
    Admit();
  }
  EXPECT_LT(order_.flows(), 2000u);
}

TEST_F(FairOrderTest, CallersThatComeOnceAreForgotten) {
  for (int i = 0; i < 5000; ++i) {
    Join(static_cast<RequestId>(i), "caller " + std::to_string(i), 9);
    Admit();
  }
  EXPECT_LT(order_.flows(), 3000u);
}

TEST_F(FairOrderTest, IdleFlowsAreForgotten) {
  for (int i = 0; i < 5000; ++i) {
    Join(static_cast<RequestId>(i), "flow " + std::to_string(i), 1);
    Admit();
    Join(static_cast<RequestId>(i), "other", 9);
    Admit();
  }
  EXPECT_LT(order_.flows(), 2000u);
}

}  // namespace
}  // namespace crossover::llm
