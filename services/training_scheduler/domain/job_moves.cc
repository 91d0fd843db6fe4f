#include "services/training_scheduler/domain/job_moves.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

using enum JobState;

}  // namespace

JobEvent EventOf(EventLevel level, EventType type, std::string message, const Job& job) {
  JobEvent event;
  event.level = level;
  event.type = type;
  event.message = std::move(message);
  event.epoch = job.lease_epoch;
  return event;
}

std::string DataOf(std::initializer_list<std::pair<const char*, std::string_view>> pairs) {
  nlohmann::json object = nlohmann::json::object();
  for (const auto& [key, value] : pairs) object[key] = value;
  return object.dump();
}

absl::Status MoveTo(Job& job, JobState to, const std::string& why, absl::Time now,
                    Effects& effects) {
  if (!MayMove(job.state, to)) {
    return Error(absl::StatusCode::kInternal, "JOB_MOVE_UNKNOWN",
                 absl::StrCat("no move from ", ToAbsl(Name(job.state)), " to ", ToAbsl(Name(to))));
  }
  JobEvent event = EventOf(to == kFailed ? EventLevel::kError : EventLevel::kInfo,
                           EventType::kStateChanged, why, job);
  event.data = DataOf({{"from", Name(job.state)}, {"to", Name(to)}});
  effects.events.push_back(std::move(event));
  job.state = to;
  job.state_reason = why;
  if (!IsLeased(to)) job.lease.reset();
  effects.ended = IsTerminal(to);
  if (job.lease.has_value()) job.lease->asked_to_release = false;
  job.finish_time = IsTerminal(to) ? std::optional(now) : std::nullopt;
  if (to == kQueued) {
    job.ready_time = now;
    job.line_time.reset();
  }
  return absl::OkStatus();
}

absl::Status Fail(Job& job, JobError error, absl::Time now, Effects& effects) {
  if (error.log_tail.empty()) error.log_tail = job.log_tail;
  const std::string why = error.message;
  job.error = std::move(error);
  return MoveTo(job, kFailed, why, now, effects);
}

absl::Status WrongState(const Job& job, std::string_view verb, std::string_view works_in) {
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("job ", job.id, " is ", ToAbsl(Name(job.state)), "; ", ToAbsl(verb),
                            " works on jobs that are ", ToAbsl(works_in)),
               {.reason = "STATE_INVALID",
                .metadata = {{"state", std::string(Name(job.state))}},
                .violations = {}});
}

}  // namespace crossover::scheduler
