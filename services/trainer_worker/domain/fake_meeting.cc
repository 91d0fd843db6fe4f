#include "services/trainer_worker/domain/fake_meeting.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {

class FakeMeeting::Member final : public llm::Collective {
 public:
  Member(FakeMeeting& meeting, llm::Rendezvous rendezvous)
      : meeting_(meeting), rendezvous_(std::move(rendezvous)) {}
  ~Member() override { meeting_.Leave(); }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  int rank() const override { return rendezvous_.rank; }
  int size() const override { return rendezvous_.size; }
  absl::Status Sum(std::span<double> values) override { return meeting_.Sum(rendezvous_, values); }
  absl::Status Sum(std::span<float> values) override {
    std::vector<double> exact(values.begin(), values.end());
    RETURN_IF_ERROR(Sum(std::span<double>(exact)));
    std::copy(exact.begin(), exact.end(), values.begin());
    return absl::OkStatus();
  }

 private:
  FakeMeeting& meeting_;
  const llm::Rendezvous rendezvous_;
};

absl::StatusOr<std::shared_ptr<llm::Collective>> FakeMeeting::Join(
    const llm::Rendezvous& rendezvous) {
  absl::MutexLock lock(&mutex_);
  ++arrived_;
  RETURN_IF_ERROR(WaitUntil(rendezvous, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return arrived_ >= rendezvous.size;
  }));
  return std::make_shared<Member>(*this, rendezvous);
}

void FakeMeeting::Leave() {
  absl::MutexLock lock(&mutex_);
  left_ = true;
}

absl::Status FakeMeeting::WaitUntil(const llm::Rendezvous& rendezvous,
                                    const std::function<bool()>& done) {
  while (!done()) {
    if (left_) return Error(absl::StatusCode::kUnavailable, "PEER_LOST", "somebody has left");
    mutex_.Unlock();
    const bool stop = rendezvous.stop && rendezvous.stop();
    mutex_.Lock();
    if (stop) return absl::CancelledError("asked to wait no longer");
    const auto over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return left_ || done(); };
    mutex_.AwaitWithTimeout(absl::Condition(&over), absl::Milliseconds(5));
  }
  return absl::OkStatus();
}

absl::Status FakeMeeting::Sum(const llm::Rendezvous& rendezvous, std::span<double> values) {
  absl::MutexLock lock(&mutex_);
  sum_.resize(values.size(), 0);
  for (size_t i = 0; i < values.size(); ++i) sum_[i] += values[i];
  const int64_t mine = sums_;
  if (++added_ == rendezvous.size) {
    done_ = std::exchange(sum_, {});
    added_ = 0;
    ++sums_;
  }
  RETURN_IF_ERROR(
      WaitUntil(rendezvous, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return sums_ > mine; }));
  std::copy(done_.begin(), done_.end(), values.begin());
  return absl::OkStatus();
}

}  // namespace crossover::worker
