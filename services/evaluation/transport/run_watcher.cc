#include "services/evaluation/transport/run_watcher.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/evaluation/domain/documents.h"
#include "services/evaluation/transport/convert.h"
#include "services/evaluation/transport/convert_type.h"

namespace crossover::evaluation {

RunWatcher::RunWatcher(Store& store, absl::Duration interval)
    : store_(store), interval_(interval), thread_([this] { Loop(); }) {}

RunWatcher::~RunWatcher() { Stop(); }

void RunWatcher::Watch(std::string run, int64_t after, RunStream stream) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopping_) {
    lock.unlock();
    stream.Finish(
        Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "the server is shutting down"));
    return;
  }
  watched_.push_back({std::move(run), after, -1, std::move(stream)});
  changed_.notify_all();
}

void RunWatcher::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void RunWatcher::Loop() {
  std::vector<Watched> mine;
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (mine.empty()) {
        changed_.wait(lock, [this] { return stopping_ || !watched_.empty(); });
      } else {
        changed_.wait_for(lock, absl::ToChronoMilliseconds(interval_),
                          [this] { return stopping_ || !watched_.empty(); });
      }
      for (Watched& added : watched_) mine.push_back(std::move(added));
      watched_.clear();
      if (stopping_) break;
    }
    std::erase_if(mine, [this](Watched& watched) { return !Feed(watched); });
  }
  for (Watched& watched : mine) {
    watched.stream.Finish(Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
                                "the server is shutting down; watch again with the resume token"));
  }
}

bool RunWatcher::Feed(Watched& watched) {
  if (watched.stream.cancelled()) {
    watched.stream.Finish(absl::CancelledError("the caller went away"));
    return false;
  }
  // The document first: a run that has ended here has all its events below.
  absl::StatusOr<Document> document = store_.Get(kRunKind, watched.run);
  absl::StatusOr<std::vector<Event>> events = store_.ListEvents(watched.run, watched.after, 500);
  absl::StatusOr<Run> run = document.ok() ? FromDocument<Run>(*document) : document.status();
  // The database is away: the client need not know.
  if (absl::IsUnavailable(run.status()) || absl::IsUnavailable(events.status())) return true;
  if (!run.ok() || !events.ok()) {
    watched.stream.Finish(run.ok() ? events.status() : run.status());
    return false;
  }
  bool first = watched.version < 0;
  const bool news = first || !events->empty() || document->version != watched.version;
  if (first && watched.after > 0) {
    absl::StatusOr<std::vector<Event>> seen = store_.ListEvents(watched.run, watched.after - 1, 1);
    if (absl::IsUnavailable(seen.status())) return true;
    if (!seen.ok() || seen->empty()) {
      watched.stream.Finish(seen.ok() ? Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
                                              "the resume token is unknown; watch without one")
                                      : seen.status());
      return false;
    }
  }
  for (const Event& event : *events) {
    v1::WatchRunResponse response;
    response.set_resume_token(absl::StrCat(event.sequence));
    response.mutable_event()->set_sequence(event.sequence);
    *response.mutable_event()->mutable_time() = ToProto(event.time);
    response.mutable_event()->set_type(event.type);
    response.mutable_event()->set_message(event.message);
    // Our own JSON; should it ever not parse, the event still stands without it.
    if (event.data != "{}" && !google::protobuf::util::JsonStringToMessage(
                                   event.data, response.mutable_event()->mutable_data())
                                   .ok()) {
      response.mutable_event()->clear_data();
    }
    // A reader that is behind gets this event at a later look.
    if (!watched.stream.Write(std::move(response))) return true;
    watched.after = event.sequence;
  }
  if (first || document->version != watched.version) {
    v1::WatchRunResponse response;
    response.set_resume_token(absl::StrCat(watched.after));
    *response.mutable_snapshot() = ToProto(*run);
    // A reader that is slow misses snapshots in between, never events or the last one.
    if (!watched.stream.Write(std::move(response))) return true;
    watched.version = document->version;
  }
  // The last event is written after the last state: a look that finds nothing new ends the watch.
  if (!IsTerminal(run->state) || news) return true;
  watched.stream.Finish(absl::OkStatus());
  return false;
}

}  // namespace crossover::evaluation
