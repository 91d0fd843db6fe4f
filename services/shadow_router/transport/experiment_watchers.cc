#include "services/shadow_router/transport/experiment_watchers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/shadow_router/transport/convert.h"
#include "services/shadow_router/transport/convert_util.h"

namespace crossover::router {
namespace {

absl::Status Draining() {
  return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
               "the router is stopping; watch again with the resume token");
}

v1::WatchExperimentResponse EventOf(const Transition& transition) {
  v1::WatchExperimentResponse message;
  message.set_resume_token(absl::StrCat(transition.sequence));
  type::v1::ResourceEvent& event = *message.mutable_event();
  event.set_sequence(transition.sequence);
  SetTime(transition.time, event.mutable_time());
  event.set_type(std::string(ToString(transition.to)));
  event.set_message(transition.words);
  auto& data = *event.mutable_data()->mutable_fields();
  data["from"].set_string_value(std::string(ToString(transition.from)));
  data["to"].set_string_value(std::string(ToString(transition.to)));
  data["step"].set_number_value(transition.to_step);
  data["actor"].set_string_value(transition.actor);
  return message;
}

}  // namespace

ExperimentWatchers::ExperimentWatchers(RouterStore& store, ExperimentControl& control,
                                       absl::Duration interval)
    : store_(store), control_(control), interval_(interval), thread_([this] { Loop(); }) {}

ExperimentWatchers::~ExperimentWatchers() { Close(); }

void ExperimentWatchers::Watch(std::string experiment, int64_t after, WatchStream stream) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopping_) {
    lock.unlock();
    return stream.Finish(Draining());
  }
  ++watchers_[experiment];
  added_.push_back({.experiment = std::move(experiment),
                    .after = after,
                    .etag = "",
                    .reported = 0,
                    .stream = std::move(stream)});
  changed_.notify_all();
}

void ExperimentWatchers::Notify(const Report& report) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!watchers_.contains(report.experiment.name)) return;
  noted_.insert_or_assign(report.experiment.name, std::pair(++reports_, report));
  news_ = true;
  changed_.notify_all();
}

void ExperimentWatchers::Close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ExperimentWatchers::Loop() {
  std::vector<Watched> mine;
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const auto woken = [this] { return stopping_ || news_ || !added_.empty(); };
      if (mine.empty()) {
        changed_.wait(lock, woken);
      } else {
        changed_.wait_for(lock, absl::ToChronoMilliseconds(interval_), woken);
      }
      news_ = false;
      for (Watched& added : added_) mine.push_back(std::move(added));
      added_.clear();
      if (stopping_) break;
    }
    std::erase_if(mine, [this](Watched& watched) {
      if (Feed(watched)) return false;
      std::lock_guard<std::mutex> lock(mutex_);
      if (--watchers_[watched.experiment] == 0) {
        watchers_.erase(watched.experiment);
        noted_.erase(watched.experiment);
      }
      return true;
    });
  }
  for (Watched& watched : mine) watched.stream.Finish(Draining());
}

std::optional<std::pair<int64_t, Report>> ExperimentWatchers::Noted(const std::string& experiment) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = noted_.find(experiment);
  if (it == noted_.end()) return std::nullopt;
  return it->second;
}

bool ExperimentWatchers::SendTransitions(Watched& watched,
                                         const std::vector<Transition>& transitions) {
  for (const Transition& transition : transitions) {
    if (transition.sequence <= watched.after) continue;
    if (!watched.stream.Write(EventOf(transition))) return false;
    watched.after = transition.sequence;
  }
  return true;
}

bool ExperimentWatchers::Feed(Watched& watched) {
  if (watched.stream.cancelled()) {
    watched.stream.Finish(absl::CancelledError("the client stopped watching"));
    return false;
  }
  // The experiment first: one that has ended here has all its transitions below.
  const absl::StatusOr<Experiment> experiment = store_.GetExperiment(watched.experiment);
  const absl::StatusOr<std::vector<Transition>> transitions =
      experiment.ok() ? store_.ListTransitions(watched.experiment) : experiment.status();
  if (!transitions.ok()) {
    watched.stream.Finish(transitions.status());
    return false;
  }
  if (watched.after == kFromNow) watched.after = experiment->transitions;
  if (!SendTransitions(watched, *transitions)) return true;  // A slow reader gets them later.
  const std::optional<std::pair<int64_t, Report>> noted = Noted(watched.experiment);
  const bool reported = noted && noted->first > watched.reported;
  if (reported || experiment->etag != watched.etag) {
    // A report that was made before the last move would show the state before it.
    const bool fresh = noted && noted->second.experiment.etag == experiment->etag;
    const absl::StatusOr<Report> report =
        fresh ? absl::StatusOr<Report>(noted->second) : control_.Explain(watched.experiment);
    if (!report.ok()) {
      watched.stream.Finish(report.status());
      return false;
    }
    v1::WatchExperimentResponse message;
    message.set_resume_token(absl::StrCat(watched.after));
    *message.mutable_snapshot() = ToProto(*report);
    if (!watched.stream.Write(std::move(message))) return true;  // The next one, then.
    watched.etag = report->experiment.etag;
    if (noted) watched.reported = noted->first;
  }
  if (!IsTerminal(experiment->state) || watched.etag != experiment->etag) return true;
  watched.stream.Finish(absl::OkStatus());
  return false;
}

}  // namespace crossover::router
