#include "services/training_scheduler/domain/watch_hub.h"

#include <algorithm>
#include <iterator>
#include <optional>
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
constexpr int64_t kBatch = 500;
// What a job waits for changes with others, and is looked up no more often than this.
constexpr absl::Duration kLookAgain = absl::Seconds(1);

}  // namespace

std::string FormatCursor(const WatchCursor& cursor) {
  return absl::StrCat("w2-", cursor.event_sequence, "-", cursor.metric_step, "-",
                      cursor.metric_epoch.value_or(0), "-", absl::ToUnixSeconds(cursor.issued));
}

absl::StatusOr<WatchCursor> ParseCursor(const std::string& token, absl::Time now) {
  const std::vector<std::string> parts = absl::StrSplit(token, '-');
  const bool first_form = parts.size() == 4 && parts[0] == "w1";
  WatchCursor cursor;
  int64_t epoch = 0;
  int64_t issued = 0;
  const bool known = (first_form || (parts.size() == 5 && parts[0] == "w2")) &&
                     absl::SimpleAtoi(parts[1], &cursor.event_sequence) &&
                     absl::SimpleAtoi(parts[2], &cursor.metric_step) &&
                     absl::SimpleAtoi(parts[3], first_form ? &issued : &epoch) &&
                     absl::SimpleAtoi(parts.back(), &issued);
  cursor.metric_epoch = first_form ? std::nullopt : std::optional(epoch);
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
  ASSIGN_OR_RETURN(const Job present, jobs_.Get(job));
  if (!watcher.cursor.metric_epoch.has_value()) watcher.cursor.metric_epoch = present.lease_epoch;
  return watchers_.Add(std::move(watcher));
}

WatchItem WatchHub::Item(Watcher& watcher, std::variant<Job, JobEvent, MetricPoint> content) {
  WatchCursor cursor = watcher.cursor;
  if (const JobEvent* event = std::get_if<JobEvent>(&content))
    cursor.event_sequence = event->sequence;
  if (const MetricPoint* point = std::get_if<MetricPoint>(&content)) {
    cursor.metric_step = point->step;
    cursor.metric_epoch = std::max(cursor.metric_epoch.value_or(0), point->epoch);
  }
  cursor.issued = clock_.Now();
  watcher.cursor = cursor;
  return {std::move(content), FormatCursor(cursor)};
}

absl::Status WatchHub::GoBack(Watcher& watcher, const Job& job) {
  WatchCursor& cursor = watcher.cursor;
  const int64_t epoch = cursor.metric_epoch.value_or(0);
  const bool silent = job.lease.has_value() && job.lease->last_worker_seq == 0;
  if (job.lease_epoch <= epoch || silent) return absl::OkStatus();
  // From the first step on: a worker whose last checkpoint is damaged begins before it.
  for (int64_t after = 0; after < cursor.metric_step;) {
    ASSIGN_OR_RETURN(const std::vector<MetricPoint> points,
                     jobs_.Metrics(watcher.job, after, 1, kBatch));
    for (const MetricPoint& point : points) {
      if (point.epoch <= epoch) continue;
      cursor.metric_step = std::min(cursor.metric_step, point.step - 1);
      return absl::OkStatus();
    }
    if (std::ssize(points) < kBatch) return absl::OkStatus();
    after = points.back().step;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MetricPoint>> WatchHub::NewPoints(Watcher& watcher, const Job& job) {
  RETURN_IF_ERROR(GoBack(watcher, job));
  ASSIGN_OR_RETURN(std::vector<MetricPoint> points,
                   jobs_.Metrics(watcher.job, watcher.cursor.metric_step, 1, kBatch));
  // After a later epoch's points, those of an earlier one wait to be said anew.
  int64_t epoch = watcher.cursor.metric_epoch.value_or(0);
  const auto stale = std::find_if(points.begin(), points.end(), [&](const MetricPoint& point) {
    const bool earlier = point.epoch < epoch;
    epoch = std::max(epoch, point.epoch);
    return earlier;
  });
  points.erase(stale, points.end());
  return points;
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
                   jobs_.Events(watcher.job, watcher.cursor.event_sequence, kBatch));
  for (JobEvent& event : events) {
    if (!offer(std::move(event))) return false;
  }
  ASSIGN_OR_RETURN(std::vector<MetricPoint> points, NewPoints(watcher, job));
  for (MetricPoint& point : points) {
    if (!offer(std::move(point))) return false;
  }
  if (std::ssize(events) == kBatch || std::ssize(points) == kBatch) return false;
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
