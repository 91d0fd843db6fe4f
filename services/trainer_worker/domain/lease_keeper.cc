#include "services/trainer_worker/domain/lease_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::worker {

LeaseKeeper::LeaseKeeper(LeaseClient& client, Clock& clock, LeasedJob job, KeeperOptions options)
    : client_(client),
      clock_(clock),
      job_(std::move(job)),
      options_(options),
      margin_(std::min(options.margin, job_.ttl / 5)),
      trusted_until_(job_.granted_at + job_.ttl - margin_),
      last_beat_(clock.SteadyNow()),
      next_seq_(job_.next_seq) {
  if (options_.own_thread) thread_ = std::thread([this] { Run(); });
}

LeaseKeeper::~LeaseKeeper() { Stop(); }

void LeaseKeeper::TellProgress(const Progress& progress, std::optional<Metric> metric,
                               int64_t peak_memory) {
  {
    absl::MutexLock lock(&mutex_);
    outbox_.progress = progress;
    outbox_.peak_memory_bytes = std::max(outbox_.peak_memory_bytes, peak_memory);
    if (metric.has_value()) outbox_.metrics.push_back(*std::move(metric));
    news_ = true;
  }
  Poll();
}

void LeaseKeeper::TellEvent(Level level, std::string message, EventType type, std::string data) {
  absl::MutexLock lock(&mutex_);
  if (level != Level::kInfo) outbox_.log_lines.push_back(absl::StrCat("warning: ", message));
  outbox_.events.push_back({0, level, std::move(message), type, std::move(data)});
  news_ = true;
}

void LeaseKeeper::TellLog(std::string line) {
  absl::MutexLock lock(&mutex_);
  outbox_.log_lines.push_back(std::move(line));
  news_ = true;
}

void LeaseKeeper::TellPhase(const std::string& phase) {
  absl::MutexLock lock(&mutex_);
  outbox_.progress.phase = phase;
  news_ = true;
}

Directive LeaseKeeper::TakeDirective() {
  absl::MutexLock lock(&mutex_);
  const Directive directive = directive_;
  if (directive == Directive::kCheckpoint) directive_ = Directive::kContinue;
  return directive;
}

bool LeaseKeeper::LostNow() {
  if (clock_.SteadyNow() >= trusted_until_) lost_ = true;
  return lost_;
}

bool LeaseKeeper::lost() {
  absl::MutexLock lock(&mutex_);
  return LostNow();
}

absl::Duration LeaseKeeper::NextBeat() {
  if (failed_) return last_beat_ + options_.retry_interval;
  return last_beat_ + (news_ ? std::min(options_.news_interval, job_.heartbeat_interval)
                             : job_.heartbeat_interval);
}

bool LeaseKeeper::Due() { return !stopping_ && !lost_ && clock_.SteadyNow() >= NextBeat(); }

void LeaseKeeper::Poll() {
  if (options_.own_thread) return;
  {
    absl::MutexLock lock(&mutex_);
    if (!Due()) return;
  }
  Beat();
}

void LeaseKeeper::Seal() {
  if (in_flight_.has_value()) return;
  for (Event& event : outbox_.events) event.seq = next_seq_++;
  outbox_.seq = next_seq_++;
  const Progress progress = outbox_.progress;
  in_flight_ = std::exchange(outbox_, Report{});
  outbox_.progress = progress;
  news_ = false;
}

void LeaseKeeper::Heard(const absl::StatusOr<BeatReply>& reply, absl::Duration before) {
  last_beat_ = clock_.SteadyNow();
  failed_ = !reply.ok();
  if (reply.ok()) {
    // Trust that has ended once does not come back: the training thread may have acted on its end.
    if (!LostNow()) trusted_until_ = before + reply->ttl - margin_;
    directive_ = reply->directive;
    in_flight_.reset();
  } else if (IsFinal(reply.status())) {
    lost_ = true;  // or a scheduler that does not want this report: nothing more will be accepted
  }
}

void LeaseKeeper::Beat() {
  absl::MutexLock one(&beat_mutex_);
  Report report;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || lost_) return;
    Seal();
    report = *in_flight_;
  }
  const absl::Duration before = clock_.SteadyNow();
  const absl::StatusOr<BeatReply> reply = client_.Heartbeat(job_, report);
  absl::MutexLock lock(&mutex_);
  Heard(reply, before);
}

absl::Status LeaseKeeper::Flush() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (LostNow()) {
        return Error(absl::StatusCode::kAborted, "LEASE_LOST", "the lease is no longer trusted");
      }
      if (!in_flight_.has_value() && !news_) return absl::OkStatus();
    }
    Beat();
    absl::MutexLock lock(&mutex_);
    if (failed_ && !lost_) return absl::UnavailableError("the scheduler does not answer");
  }
}

void LeaseKeeper::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      // Woken when the keeper stops; news only bring the next beat forward, so a short wait
      // suffices.
      const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; };
      mutex_.AwaitWithTimeout(absl::Condition(&stopping), absl::Milliseconds(100));
      if (stopping_ || LostNow()) return;
      if (!Due()) continue;
    }
    Beat();
  }
}

Report LeaseKeeper::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  absl::MutexLock one(&beat_mutex_);  // a beat of Poll has ended
  absl::MutexLock lock(&mutex_);
  if (!in_flight_.has_value()) {
    Seal();
    return *std::exchange(in_flight_, std::nullopt);
  }
  // The report in flight may or may not have arrived. Its events keep their numbers; what came
  // after gets the next ones.
  Report last = *std::exchange(in_flight_, std::nullopt);
  Report rest = std::exchange(outbox_, Report{});
  for (Event& event : rest.events) {
    event.seq = next_seq_++;
    last.events.push_back(std::move(event));
  }
  last.seq = next_seq_++;
  last.metrics.insert(last.metrics.end(), rest.metrics.begin(), rest.metrics.end());
  last.log_lines.insert(last.log_lines.end(), rest.log_lines.begin(), rest.log_lines.end());
  last.progress = rest.progress;
  last.peak_memory_bytes = std::max(last.peak_memory_bytes, rest.peak_memory_bytes);
  return last;
}

}  // namespace crossover::worker
