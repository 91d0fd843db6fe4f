#include "services/trainer_worker/domain/sweep.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/file_error.h"
#include "services/trainer_worker/domain/pins.h"

namespace crossover::worker {
namespace {

bool TrialIsOver(Stop stop) {
  return stop == Stop::kNone || stop == Stop::kEarly || stop == Stop::kHopeless;
}

TrialEnd EndOf(Stop stop) {
  if (stop == Stop::kHopeless) return TrialEnd::kStoppedByMedian;
  return stop == Stop::kEarly ? TrialEnd::kStoppedEarly : TrialEnd::kFinished;
}

std::string Words(const std::map<std::string, std::string>& values) {
  return absl::StrJoin(values, ", ", absl::PairFormatter(" "));
}

}  // namespace

absl::Status Sweep::Recover() {
  checkpoints_ = CheckpointsOf(context_.job());
  const std::filesystem::path folder = context_.folder / "resume";
  while (!checkpoints_.empty()) {
    std::error_code ignored;  // of the checkpoint before
    std::filesystem::remove_all(folder, ignored);
    const CheckpointRef checkpoint = checkpoints_.front();
    const absl::Status status = context_.deps.blobs.Materialise(checkpoint.digest, folder);
    absl::StatusOr<SweepState> state = status.ok() ? ReadSweepState(folder) : status;
    if (state.ok() && state->trials.size() < plan().trials.size()) {
      state_ = *std::move(state);
      recorded_step_ = checkpoint.step;
      return absl::OkStatus();
    }
    if (!state.ok() && !CheckpointIsGone(state.status())) {
      return WithContext(state.status(), absl::StrCat("checkpoint of step ", checkpoint.step));
    }
    checkpoints_.erase(checkpoints_.begin());
    context_.keeper.TellEvent(
        Level::kWarn,
        absl::StrCat("checkpoint of step ", checkpoint.step, " cannot be read, ",
                     checkpoints_.empty()
                         ? std::string("starting with the first trial")
                         : absl::StrCat("going back to step ", checkpoints_.front().step),
                     ": ", state.ok() ? "it is of another sweep" : state.status().message()));
  }
  return absl::OkStatus();
}

int64_t Sweep::StepsBefore(size_t trial) const {
  int64_t steps = 0;
  for (size_t i = 0; i < trial; ++i) {
    const bool ended = i < state_.trials.size();
    steps += std::max(ended ? state_.trials[i].steps : 0, plan().trials[i].plan.steps);
  }
  return steps;
}

absl::StatusOr<TrainingEnd> Sweep::RunTrial(size_t trial) {
  int64_t steps = 0;
  const TrainingPlace place{
      .plan = &plan().trials[trial].plan,
      .first_step = StepsBefore(trial),
      .all_steps = StepsBefore(plan().trials.size()),
      .checkpoints = std::exchange(checkpoints_, {}),
      .publish = false,
      .keep = [&](const std::filesystem::path& folder) { return WriteSweepState(folder, state_); },
      .hopeless =
          [&](const RunState& run, const Step& step) {
            return plan().median_stop && IsHopeless(state_, run, step.step, step.steps);
          },
      .on_step = [&](const Step& step) { steps = step.steps; }};
  ASSIGN_OR_RETURN(TrainingEnd end, Training(context_, place).Run());
  sum_.tokens += end.ending.tokens;
  sum_.peak_memory_bytes = std::max(sum_.peak_memory_bytes, end.ending.peak_memory_bytes);
  if (!TrialIsOver(end.stop)) return end;
  state_.trials.push_back({EndOf(end.stop), std::max(steps, end.state.step), end.state});
  RETURN_IF_ERROR(Book(trial, end));
  return end;
}

absl::Status Sweep::Book(size_t trial, const TrainingEnd& end) {
  const TrialResult& result = state_.trials.back();
  if (!result.run.best_loss.has_value()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "NO_VALIDATION_ROWS",
        "a sweep compares its trials by their validation loss, and there are no validation "
        "rows; set validation_fraction, or seal a version with a validation split");
  }
  const std::string& job = context_.job().name;
  RETURN_IF_ERROR(context_.deps.blobs.Pin(result.run.best_adapter, TrialHolder(job)));
  former_bests_ = end.bests;
  former_bests_.push_back(result.run.best_adapter);
  const nlohmann::json data = {{"trial", trial + 1},
                               {"state", Name(result.end)},
                               {"best_valid_loss", *result.run.best_loss},
                               {"step", result.run.step},
                               {"steps", result.steps}};
  context_.keeper.TellEvent(
      Level::kInfo,
      absl::StrFormat(
          "trial %d of %d (%s): best validation loss %.4f%s", trial + 1, plan().trials.size(),
          Words(plan().trials[trial].values), *result.run.best_loss,
          result.end == TrialEnd::kFinished
              ? ""
              : absl::StrFormat(
                    ", stopped %s at step %d of %d",
                    result.end == TrialEnd::kStoppedEarly ? "early" : "by the median rule",
                    result.run.step, result.steps)),
      EventType::kTrialEnded, data.dump());
  return absl::OkStatus();
}

absl::Status Sweep::RecordBoundary(size_t next) {
  const std::filesystem::path folder = context_.folder / absl::StrCat("trial-", next);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return FileError("make", folder, error.value());
  RETURN_IF_ERROR(WriteRunState(folder, RunState{}));
  RETURN_IF_ERROR(WriteSweepState(folder, state_));
  const std::string& job = context_.job().name;
  const std::string holder = CheckpointHolder(job);
  ASSIGN_OR_RETURN(const std::string digest, PutFolder(context_, "checkpoint", folder, holder));
  const RunState& best = state_.trials[*BestTrial(state_)].run;
  RETURN_IF_ERROR(context_.deps.blobs.Pin(best.best_adapter, holder));
  const int64_t step = StepsBefore(next);
  const Metric metric{.step = step, .time = {}, .values = {{"valid_loss", *best.best_loss}}};
  RETURN_IF_ERROR(Insist(context_, [&] { return context_.keeper.Flush(); }));
  std::vector<std::string> released;
  RETURN_IF_ERROR(Insist(context_, [&] {
    absl::StatusOr<std::vector<std::string>> answer = context_.deps.client.RecordCheckpoint(
        context_.job(), step, digest, best.best_adapter, metric);
    if (!answer.ok()) return answer.status();
    released = *std::move(answer);
    return absl::OkStatus();
  }));
  for (const std::string& gone : released) Unpin(context_, gone, holder);
  for (const std::string& gone : std::exchange(former_bests_, {})) {
    Unpin(context_, gone, BestHolder(job));
  }
  recorded_step_ = step;
  return absl::OkStatus();
}

absl::Status Sweep::Publish(TrainingEnd& end) {
  context_.keeper.TellPhase("publishing");
  const std::string holder = OutputHolder(context_.job().name);
  const size_t best = *BestTrial(state_);
  end.ending.adapter_digest = state_.trials[best].run.best_adapter;
  RETURN_IF_ERROR(context_.deps.blobs.Pin(end.ending.adapter_digest, holder));
  ASSIGN_OR_RETURN(end.ending.report_digest,
                   context_.deps.blobs.PutBytes(ReportOf(plan(), state_)));
  RETURN_IF_ERROR(context_.deps.blobs.Pin(end.ending.report_digest, holder));
  end.ending.trained_tokens = 0;
  for (const TrialResult& trial : state_.trials) {
    end.ending.trained_tokens += trial.run.trained_tokens;
    end.trial_bests.push_back(trial.run.best_adapter);
  }
  end.bests = former_bests_;
  context_.keeper.TellEvent(
      Level::kInfo,
      absl::StrFormat("published the adapter of trial %d (%s), validation loss %.4f", best + 1,
                      Words(plan().trials[best].values), *state_.trials[best].run.best_loss));
  return absl::OkStatus();
}

absl::StatusOr<TrainingEnd> Sweep::Run() {
  const absl::Duration started = context_.deps.clock.SteadyNow();
  RETURN_IF_ERROR(Recover());
  TrainingEnd end;
  for (size_t trial = state_.trials.size(); trial < plan().trials.size(); ++trial) {
    ASSIGN_OR_RETURN(end, RunTrial(trial));
    if (!TrialIsOver(end.stop)) {
      end.checkpoint_step = std::max(end.checkpoint_step, recorded_step_);
      return end;
    }
    if (trial + 1 < plan().trials.size()) RETURN_IF_ERROR(RecordBoundary(trial + 1));
  }
  end.stop = Stop::kNone;
  end.ending = sum_;
  RETURN_IF_ERROR(Publish(end));
  end.ending.seconds = absl::ToDoubleSeconds(context_.deps.clock.SteadyNow() - started);
  return end;
}

}  // namespace crossover::worker
