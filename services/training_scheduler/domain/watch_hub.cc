#include "services/training_scheduler/domain/watch_hub.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/state_machine.h"
#include "services/training_scheduler/domain/waiting.h"

namespace crossover::scheduler {
namespace {

constexpr absl::Duration kTokenLife = absl::Hours(7 * 24);
constexpr int64_t kEventBatch = 500;
// What a job waits for changes with others, and is looked up no more often than this.
constexpr absl::Duration kLookAgain = absl::Seconds(1);

}  // namespace

std::string FormatCursor(const WatchCursor& cursor) {
  return absl::StrCat("w1-", cursor.event_sequence, "-", cursor.metric_step, "-",
                      absl::ToUnixSeconds(cursor.issued));
}

absl::StatusOr<WatchCursor> ParseCursor(const std::string& token, absl::Time now) {
  const std::vector<std::string> parts = absl::StrSplit(token, '-');
  WatchCursor cursor;
  int64_t issued = 0;
  const bool known =
      parts.size() == 4 && parts[0] == "w1" && absl::SimpleAtoi(parts[1], &cursor.event_sequence) &&
      absl::SimpleAtoi(parts[2], &cursor.metric_step) && absl::SimpleAtoi(parts[3], &issued);
  cursor.issued = absl::FromUnixSeconds(issued);
  if (!known || now - cursor.issued > kTokenLife) {
    return Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
                 "the resume_token is older than seven days or not one of ours; read the job and "
                 "its events, and watch without a token");
  }
  return cursor;
}

absl::Status WatchHub::Watch(const JobId& job, const std::string& resume_token,
                             std::shared_ptr<WatchSink> sink) {
  Watcher watcher{.job = job, .cursor = {}, .revision = -1, .sink = std::move(sink)};
  if (!resume_token.empty()) {
    ASSIGN_OR_RETURN(watcher.cursor, ParseCursor(resume_token, clock_.Now()));
  }
  RETURN_IF_ERROR(jobs_.Get(job).status());
  return watchers_.Add(std::move(watcher));
}

WatchItem WatchHub::Item(Watcher& watcher, std::variant<Job, JobEvent, MetricPoint> content) {
  WatchCursor cursor = watcher.cursor;
  if (const JobEvent* event = std::get_if<JobEvent>(&content))
    cursor.event_sequence = event->sequence;
  if (const MetricPoint* point = std::get_if<MetricPoint>(&content))
    cursor.metric_step = point->step;
  cursor.issued = clock_.Now();
  watcher.cursor = cursor;
  return {std::move(content), FormatCursor(cursor)};
}

// True when nothing is left to send.
absl::StatusOr<bool> WatchHub::SendNews(Watcher& watcher, const Job& job) {
  const auto offer = [&](auto content) {
    const WatchCursor before = watcher.cursor;
    const bool sent = watcher.sink->Send(Item(watcher, std::move(content)));
    if (!sent) watcher.cursor = before;
    return sent;
  };
  if (watcher.revision != job.revision || watcher.reason != job.state_reason) {
    if (!offer(job)) return false;
  }
  ASSIGN_OR_RETURN(std::vector<JobEvent> events,
                   jobs_.Events(watcher.job, watcher.cursor.event_sequence, kEventBatch));
  for (JobEvent& event : events) {
    if (!offer(std::move(event))) return false;
  }
  ASSIGN_OR_RETURN(std::vector<MetricPoint> points,
                   jobs_.Metrics(watcher.job, watcher.cursor.metric_step, 1, kEventBatch));
  for (MetricPoint& point : points) {
    if (!offer(std::move(point))) return false;
  }
  if (events.size() == kEventBatch || points.size() == kEventBatch) return false;
  watcher.revision = job.revision;
  watcher.reason = job.state_reason;
  return true;
}

absl::Status WatchHub::ExplainTo(Job& job) {
  if (!WaitsForWorkers(job)) return absl::OkStatus();
  const absl::Duration now = clock_.SteadyNow();
  if (now - looked_ >= kLookAgain) {
    ASSIGN_OR_RETURN(workers_, WorkersToExplainBy(jobs_));
    looked_ = now;
  }
  Explain(workers_, {&job, 1});
  return absl::OkStatus();
}

bool WatchHub::MayWaitForOthers(Watcher& watcher, const Job& job) {
  const absl::Duration now = clock_.SteadyNow();
  if (!WaitsForWorkers(job) || now - watcher.explained < kLookAgain) return false;
  watcher.explained = now;
  return true;
}

bool WatchHub::Serve(Watcher& watcher) {
  if (watcher.sink->Gone()) return false;
  absl::StatusOr<Job> job = jobs_.Get(watcher.job);
  if (absl::IsUnavailable(job.status()))
    return true;  // the database is away; the client need not know
  if (job.ok() && job->revision == watcher.revision && !MayWaitForOthers(watcher, *job))
    return true;
  if (job.ok()) {
    if (const absl::Status explained = ExplainTo(*job); !explained.ok()) job = explained;
  }
  if (job.ok() && job->revision == watcher.revision && job->state_reason == watcher.reason)
    return true;
  absl::StatusOr<bool> all = job.ok() ? SendNews(watcher, *job) : job.status();
  if (absl::IsUnavailable(all.status())) return true;
  if (!all.ok()) {
    watcher.sink->End(all.status());
    return false;
  }
  if (*all && IsTerminal(job->state)) {
    watcher.sink->End(absl::OkStatus());
    return false;
  }
  return true;
}

}  // namespace crossover::scheduler
