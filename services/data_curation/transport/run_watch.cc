#include "services/data_curation/transport/run_watch.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/list/page.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/transport/convert.h"

namespace crossover::curation {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(300);

std::string TokenFor(const std::string& run, int64_t sequence) {
  return list::MakePageToken(absl::StrCat(sequence), "watch|" + run);
}

}  // namespace

RunWatch::~RunWatch() { Stop(); }

void RunWatch::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void RunWatch::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  for (Watcher& watcher : watchers_) {
    watcher.stream.Finish(
        Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
              "the service is shutting down: watch again with the last resume_token"));
  }
  watchers_.clear();
}

absl::Status RunWatch::Add(const std::string& project, const std::string& run,
                           const std::string& resume_token, Stream stream) {
  RETURN_IF_ERROR(store_.GetRun(project, run).status());
  ASSIGN_OR_RETURN(const std::string position, list::ParsePageToken(resume_token, "watch|" + run));
  Watcher watcher{project, run, 0, position.empty(), std::move(stream)};
  if (!position.empty() && !absl::SimpleAtoi(position, &watcher.sequence)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                 "resume_token is damaged");
  }
  const std::lock_guard lock(mutex_);
  if (stopping_)
    return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "the service is shutting down");
  watchers_.push_back(std::move(watcher));
  woken_ = true;
  wake_.notify_all();
  return absl::OkStatus();
}

void RunWatch::Loop() {
  std::list<Watcher> mine;  // taken out of watchers_ while they are worked on, without the lock
  while (true) {
    {
      std::unique_lock lock(mutex_);
      watchers_.splice(watchers_.end(), mine);
      wake_.wait_for(lock, kPoll, [this] { return woken_ || stopping_; });
      if (stopping_) return;
      woken_ = false;
      mine.splice(mine.end(), watchers_);
    }
    std::erase_if(mine, [this](Watcher& watcher) { return !Advance(watcher); });
  }
}

bool RunWatch::Advance(Watcher& watcher) {
  if (watcher.stream.cancelled()) {
    watcher.stream.Finish(absl::CancelledError("the client has gone"));
    return false;
  }
  const absl::StatusOr<bool> more = Send(watcher);
  // A database that is away for a moment is no reason to end a stream.
  if (more.status().code() == absl::StatusCode::kUnavailable) return true;
  if (!more.ok()) watcher.stream.Finish(more.status());
  if (more.ok() && !*more) watcher.stream.Finish(absl::OkStatus());
  return more.value_or(false);
}

absl::StatusOr<bool> RunWatch::Send(Watcher& watcher) {
  ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(watcher.project, watcher.run));
  // Read after the run: a terminal state was written with its event, so that all events are here.
  ASSIGN_OR_RETURN(const std::vector<RunEvent> events,
                   store_.ListRunEvents(watcher.project, watcher.run, watcher.sequence, 1000));
  if (watcher.wants_snapshot) {
    v1::WatchCurationRunResponse response;
    ASSIGN_OR_RETURN(*response.mutable_snapshot(), ToProto(run));
    if (!events.empty()) watcher.sequence = events.back().sequence;
    response.set_resume_token(TokenFor(watcher.run, watcher.sequence));
    if (!watcher.stream.Write(std::move(response)))
      return absl::ResourceExhaustedError("the client reads too slowly");
    watcher.wants_snapshot = false;
    return !IsTerminal(run.state);
  }
  for (const RunEvent& event : events) {
    v1::WatchCurationRunResponse response;
    response.set_resume_token(TokenFor(watcher.run, event.sequence));
    response.mutable_event()->set_sequence(event.sequence);
    *response.mutable_event()->mutable_time() =
        google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(event.time));
    response.mutable_event()->set_type(event.type);
    response.mutable_event()->set_message(event.message);
    // Written by this service as a JSON object.
    (void)google::protobuf::util::JsonStringToMessage(event.data,
                                                      response.mutable_event()->mutable_data())
        .ok();
    if (!watcher.stream.Write(std::move(response)))
      return absl::ResourceExhaustedError("the client reads too slowly");
    watcher.sequence = event.sequence;
  }
  return !IsTerminal(run.state);
}

}  // namespace crossover::curation
