// A mirror between variant `old`, which is served, and variant `new`, at a model that answers as
// told.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/mirror.h"

namespace crossover::router {

inline constexpr char kExperiment[] = "projects/default/experiments/e1";

inline Answer Ok(std::string content) {
  Answer answer{.status = CallStatus::kOk,
                .http_status = 200,
                .content = std::move(content),
                .finish_reason = "stop"};
  answer.usage = {.input = 10, .cached_input = 0, .output = 5};
  answer.latency = absl::Milliseconds(20);
  return answer;
}

class FakeModel final : public Upstream {
 public:
  Answer Call(const UpstreamCall& call) override {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
    const auto go = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !stalled_ || shut_down_; };
    mutex_.Await(absl::Condition(&go));
    if (shut_down_) return Answer{.status = CallStatus::kCancelled};
    return answer_;
  }
  void Shutdown() override {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
  }
  void Stall(bool stalled) {
    absl::MutexLock lock(&mutex_);
    stalled_ = stalled;
  }
  void Say(Answer answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  std::vector<UpstreamCall> calls() {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }
  void WaitForCalls(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return calls_.size() >= count;
    };
    mutex_.Await(absl::Condition(&enough));
  }

 private:
  absl::Mutex mutex_;
  std::vector<UpstreamCall> calls_ ABSL_GUARDED_BY(mutex_);
  Answer answer_ ABSL_GUARDED_BY(mutex_) = Ok("b");
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
};

class MirrorTest : public ::testing::Test {
 protected:
  MirrorTest() {
    route_->route.name = "projects/default/routes/r";
    for (const char* name : {"old", "new"}) {
      ResolvedVariant variant{.name = name,
                              .system = {.model = {.model = std::string("m-") + name}}};
      variant.target = {.name = name, .base_url = "http://x/v1", .api_key = "secret"};
      variant.digest = SystemDigest(variant.system);
      route_->variants[name] = variant;
    }
    route_->comparators = {{.kind = ComparatorSpec::Kind::kText}};
    route_->plan = {.experiment = kExperiment,
                    .comparison = 1,
                    .reference = "old",
                    .candidate = "new",
                    .shadow_share = 10'000};
    route_->experiment = Experiment{.name = kExperiment};
    route_->task.record = RecordPolicy::kFull;
  }

  void Start(MirrorOptions options = {}) {
    mirror_ = std::make_unique<Mirror>(
        options, Mirror::Deps{model_, books_, breakers_, budget_, **redactor_, clock_});
    mirror_->Start();
  }

  MirrorJob Job(std::string served = "a", const std::string& extra = "") {
    MirrorJob job{.key = books_.Sampled(kExperiment, 1), .route = route_};
    job.request = *ParseChatRequest(R"({"model":"r","messages":[{"role":"user","content":"q"}])" +
                                    extra + "}");
    job.served = Ok(std::move(served));
    job.served_variant = "old";
    job.request_id = "req" + std::to_string(++count_);
    job.time = clock_.Now();
    return job;
  }
  LedgerCounts Held() { return books_.Held(kExperiment, 1); }

  FakeClock clock_;
  FakeModel model_;
  Books books_{"i", "1", clock_};
  Breakers breakers_{{}, clock_};
  BudgetMeter budget_{clock_};
  absl::StatusOr<std::unique_ptr<Redactor>> redactor_ = Redactor::Create();
  std::shared_ptr<ResolvedRoute> route_ = std::make_shared<ResolvedRoute>();
  std::unique_ptr<Mirror> mirror_;
  int count_ = 0;
};

}  // namespace crossover::router
