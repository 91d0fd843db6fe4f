// What watchers hear of a job that goes on under another lease.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/training_scheduler/domain/leasing_fixture.h"
#include "services/training_scheduler/domain/watch_hub.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PointSink final : public WatchSink {
 public:
  bool Send(const WatchItem& item) override {
    if (const MetricPoint* point = std::get_if<MetricPoint>(&item.content)) {
      steps.push_back(point->step);
    }
    token = item.resume_token;
    return true;
  }
  bool Gone() override { return false; }
  void End(absl::Status) override {}

  // Those since the last call.
  std::vector<int64_t> Taken() { return std::exchange(steps, {}); }

  std::vector<int64_t> steps;
  std::string token;
};

class WatchEpochsTest : public LeasingTest {
 protected:
  void Train(const GrantedLease& lease, const std::vector<int64_t>& steps) {
    Heartbeat beat;
    beat.worker_seq = ++seq_;
    for (const int64_t step : steps) beat.metrics.push_back({.step = step});
    EXPECT_OK(leasing_.Heartbeat(lease.token, beat));
  }
  void Save(const GrantedLease& lease, int64_t step) {
    EXPECT_OK(leasing_.RecordCheckpoint(lease.token,
                                        {.step = step, .digest = absl::StrCat("sha256:", step)}));
  }
  std::shared_ptr<PointSink> Watched(const JobId& id, const std::string& token = "") {
    auto sink = std::make_shared<PointSink>();
    EXPECT_OK(hub_.Watch(id, token, sink));
    hub_.Pump();
    return sink;
  }

  WatchHub hub_{jobs_, clock_};

 private:
  int64_t seq_ = 0;
};

TEST_F(WatchEpochsTest, StepsThatAWorkerSaysAnewAfterACheckpointAreSentAnew) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  Train(first, {1, 2});
  Save(first, 2);
  Train(first, {3, 4, 5});
  const auto sink = Watched(id);
  EXPECT_THAT(sink->Taken(), ElementsAre(1, 2, 3, 4, 5));
  const std::string token = sink->token;
  LetExpire(id);
  const GrantedLease second = Lease("b");
  hub_.Pump();
  EXPECT_THAT(sink->Taken(), IsEmpty());
  Train(second, {3, 4});
  hub_.Pump();
  EXPECT_THAT(sink->Taken(), ElementsAre(3, 4));
  Train(second, {5, 6});
  hub_.Pump();
  EXPECT_THAT(sink->Taken(), ElementsAre(5, 6));
  EXPECT_THAT(Watched(id, token)->Taken(), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(Watched(id, sink->token)->Taken(), IsEmpty());
  EXPECT_THAT(Watched(id)->Taken(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(WatchEpochsTest, AWorkerThatCannotReadItsCheckpointIsFollowedFromTheFirstStep) {
  const JobId id = Add();
  const GrantedLease first = Lease("a");
  Train(first, {1, 2, 3, 4});
  Save(first, 4);
  Train(first, {5});
  const auto sink = Watched(id);
  sink->Taken();
  LetExpire(id);
  const GrantedLease second = Lease("b");
  Train(second, {1, 2});
  hub_.Pump();
  EXPECT_THAT(sink->Taken(), ElementsAre(1, 2)) << "3 and 4 are of the epoch that is over";
  Train(second, {3, 4, 5});
  hub_.Pump();
  EXPECT_THAT(sink->Taken(), ElementsAre(3, 4, 5));
}

TEST_F(WatchEpochsTest, ATokenOfBeforeEpochsWereNotedGoesOnAtItsStep) {
  const JobId id = Add();
  Train(Lease("a"), {1, 2, 3});
  const std::string token = absl::StrCat("w1-0-2-", absl::ToUnixSeconds(clock_.Now()));
  EXPECT_THAT(Watched(id, token)->Taken(), ElementsAre(3));
}

}  // namespace
}  // namespace crossover::scheduler
