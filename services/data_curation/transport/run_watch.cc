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

constexpr int kPage = 500;  // events read at once; twice as many fit into a stream's buffer

// What a token says: the last event that was sent, and when.
struct Position {
  int64_t sequence = 0;
  absl::Time issued;
};

std::string QueryOf(const std::string& run) { return "watch|" + run; }

absl::StatusOr<Position> ParsePosition(const std::string& text, absl::Time now) {
  const size_t slash = text.find('/');
  Position position;
  int64_t seconds = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(text.substr(0, slash), &position.sequence) ||
      !absl::SimpleAtoi(text.substr(slash + 1), &seconds)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                 "resume_token is damaged");
  }
  position.issued = absl::FromUnixSeconds(seconds);
  if (now - position.issued <= kTokenLife) return position;
  return Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
               "the resume_token is older than seven days: read the run, and watch it without a "
               "token");
}

absl::Status Write(const RunWatch::Stream& stream, v1::WatchCurationRunResponse response) {
  return stream.Write(std::move(response)) ? absl::OkStatus()
                                           : absl::CancelledError("the client has gone");
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
  Watcher watcher{project, run, 0, resume_token.empty(), std::move(stream)};
  if (!resume_token.empty()) {
    ASSIGN_OR_RETURN(const std::string text, list::ParsePageToken(resume_token, QueryOf(run)));
    ASSIGN_OR_RETURN(const Position position, ParsePosition(text, clock_.Now()));
    watcher.sequence = position.sequence;
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

std::string RunWatch::TokenOf(const Watcher& watcher) {
  return list::MakePageToken(absl::StrCat(watcher.sequence, "/", absl::ToUnixSeconds(clock_.Now())),
                             QueryOf(watcher.run));
}

absl::StatusOr<bool> RunWatch::Send(Watcher& watcher) {
  if (watcher.stream.pending() >= kPage) return true;  // it reads slowly: later
  if (watcher.wants_snapshot) return SendSnapshot(watcher);
  ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(watcher.project, watcher.run));
  // Read after the run: a terminal state was written with its event, so that all events are here.
  ASSIGN_OR_RETURN(const std::vector<RunEvent> events,
                   store_.ListRunEvents(watcher.project, watcher.run, watcher.sequence, kPage));
  for (const RunEvent& event : events) RETURN_IF_ERROR(SendEvent(watcher, event));
  const bool all = static_cast<int>(events.size()) < kPage;
  return !all || !IsTerminal(run.state);
}

absl::StatusOr<bool> RunWatch::SendSnapshot(Watcher& watcher) {
  for (bool all = false; !all;) {
    ASSIGN_OR_RETURN(const std::vector<RunEvent> events,
                     store_.ListRunEvents(watcher.project, watcher.run, watcher.sequence, kPage));
    if (!events.empty()) watcher.sequence = events.back().sequence;
    all = static_cast<int>(events.size()) < kPage;
  }
  // Read after the events: what happens in between is in both, never in neither.
  ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(watcher.project, watcher.run));
  v1::WatchCurationRunResponse response;
  ASSIGN_OR_RETURN(*response.mutable_snapshot(), ToProto(run));
  response.set_resume_token(TokenOf(watcher));
  watcher.wants_snapshot = false;
  RETURN_IF_ERROR(Write(watcher.stream, std::move(response)));
  return !IsTerminal(run.state);
}

absl::Status RunWatch::SendEvent(Watcher& watcher, const RunEvent& event) {
  v1::WatchCurationRunResponse response;
  watcher.sequence = event.sequence;
  response.set_resume_token(TokenOf(watcher));
  response.mutable_event()->set_sequence(event.sequence);
  *response.mutable_event()->mutable_time() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(event.time));
  response.mutable_event()->set_type(event.type);
  response.mutable_event()->set_message(event.message);
  // Written by this service as a JSON object.
  (void)google::protobuf::util::JsonStringToMessage(event.data,
                                                    response.mutable_event()->mutable_data())
      .ok();
  return Write(watcher.stream, std::move(response));
}

}  // namespace crossover::curation
