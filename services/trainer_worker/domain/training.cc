#include "services/trainer_worker/domain/training.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/file_error.h"
#include "services/trainer_worker/domain/overfitting.h"
#include "services/trainer_worker/domain/pins.h"

namespace crossover::worker {
namespace {

bool CannotResume(const absl::Status& status) {
  return HasReason(status, "CHECKPOINT_MISMATCH") || HasReason(status, "CHECKPOINT_DAMAGED");
}

// The trials of a sweep share their inputs.
absl::Status MaterialiseOnce(BlobStore& blobs, const std::string& digest,
                             const std::filesystem::path& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored)) return absl::OkStatus();
  return blobs.Materialise(digest, folder);
}

}  // namespace

bool CheckpointIsGone(const absl::Status& status) {
  return CannotResume(status) || absl::IsNotFound(status) || absl::IsDataLoss(status) ||
         HasReason(status, "MANIFEST_INVALID");
}

absl::StatusOr<TrainInputs> Training::FetchInputs() {
  const LeasedJob& job = context_.job();
  BlobStore& blobs = context_.deps.blobs;
  TrainInputs inputs;
  inputs.base_digest = job.base_digest;
  ASSIGN_OR_RETURN(inputs.base, blobs.LocalTree(job.base_digest));
  inputs.dataset = context_.folder / "dataset";
  RETURN_IF_ERROR(MaterialiseOnce(blobs, job.dataset_digest, inputs.dataset));
  if (!job.adapter_digest.empty()) {
    inputs.adapter = context_.folder / "initial_adapter";
    RETURN_IF_ERROR(MaterialiseOnce(blobs, job.adapter_digest, *inputs.adapter));
  }
  RETURN_IF_ERROR(FetchCheckpoint(inputs));
  return inputs;
}

void Training::PassOver(const char* what, const absl::Status& status) {
  const int64_t step = checkpoints_.front().step;
  checkpoints_.erase(checkpoints_.begin());
  const std::string next = checkpoints_.empty()
                               ? "starting anew"
                               : absl::StrCat("going back to step ", checkpoints_.front().step);
  context_.keeper.TellEvent(Level::kWarn, absl::StrCat("checkpoint of step ", step, " ", what, ", ",
                                                       next, ": ", status.message()));
}

absl::Status Training::FetchCheckpoint(TrainInputs& inputs) {
  const std::filesystem::path folder = context_.folder / "resume";
  while (!checkpoints_.empty()) {
    std::error_code ignored;  // a sweep or an earlier try has looked into it before
    std::filesystem::remove_all(folder, ignored);
    const CheckpointRef& checkpoint = checkpoints_.front();
    const absl::Status status = context_.deps.blobs.Materialise(checkpoint.digest, folder);
    absl::StatusOr<RunState> state = status.ok() ? ReadRunState(folder) : status;
    if (state.ok()) {
      state_ = *std::move(state);
      if (state_.step > 0) inputs.checkpoint = folder / kTrainerFolder;
      return absl::OkStatus();
    }
    if (!CheckpointIsGone(state.status()))
      return WithContext(state.status(), absl::StrCat("checkpoint of step ", checkpoint.step));
    PassOver("cannot be read", state.status());
  }
  return absl::OkStatus();
}

absl::Status Training::Prepare() {
  ASSIGN_OR_RETURN(stop_, gang_.Meet());
  if (stop_ != Stop::kNone) return absl::OkStatus();
  absl::Status loaded = Load();
  GangStart start;
  if (!checkpoints_.empty()) start.checkpoint = checkpoints_.front().digest;
  if (!gang_.alone() && run_ != nullptr) {
    absl::StatusOr<TrainTerms> terms = run_->Terms();
    if (terms.ok()) {
      start.terms = *std::move(terms);
    } else {
      loaded.Update(terms.status());
    }
  }
  ASSIGN_OR_RETURN(stop_, gang_.AgreeOnStart(loaded, stop_, start));
  return absl::OkStatus();
}

absl::Status Training::Load() {
  context_.keeper.TellPhase("loading");
  ASSIGN_OR_RETURN(TrainInputs inputs, FetchInputs());
  inputs.peers = gang_.peers();
  stop_ = AskedToStop(context_, &checkpoint_asked_);
  if (stop_ != Stop::kNone) return absl::OkStatus();
  const TrainPlan& plan = *place_.plan;
  const bool in_memory = context_.deps.engine.LoadedBase() == inputs.base_digest;
  context_.keeper.TellLog(
      absl::StrCat(in_memory ? "base is in memory: " : "loading base ", inputs.base_digest));
  const absl::Duration before = context_.deps.clock.SteadyNow();
  absl::StatusOr<std::unique_ptr<TrainRun>> run = context_.deps.engine.Prepare(plan, inputs);
  while (!run.ok() && inputs.checkpoint.has_value() && CannotResume(run.status())) {
    PassOver("cannot be resumed", run.status());
    inputs.checkpoint.reset();
    if (!state_.best_adapter.empty()) former_bests_.push_back(state_.best_adapter);
    state_ = RunState{};
    RETURN_IF_ERROR(FetchCheckpoint(inputs));
    run = context_.deps.engine.Prepare(plan, inputs);
  }
  context_.deps.board.Change(
      [&](JobStatus& status) { status.loaded_base = context_.deps.engine.LoadedBase(); });
  RETURN_IF_ERROR(run.status());
  run_ = *std::move(run);
  TellReady(context_.deps.clock.SteadyNow() - before);
  stop_ = AskedToStop(context_, &checkpoint_asked_);
  recorded_step_ = state_.step;
  const int64_t job_step = place_.first_step + state_.step;
  if (!checkpoints_.empty() && job_step > 0) {
    context_.keeper.TellEvent(Level::kInfo, absl::StrCat("resumed at step ", job_step));
    context_.keeper.TellLog(absl::StrCat("resumed from the checkpoint of step ", job_step));
  }
  return absl::OkStatus();
}

void Training::TellReady(absl::Duration took) {
  const TrainSize size = run_->Size();
  context_.keeper.TellLog(
      absl::StrFormat("ready in %.1f s: %d rows, %d tokens in all epochs, %d rows to validate on",
                      absl::ToDoubleSeconds(took), size.rows, size.tokens, size.validation_rows));
}

void Training::Tell(const Step& step) {
  tokens_ += step.tokens;
  peak_memory_ = std::max(peak_memory_, context_.deps.engine.PeakMemory());
  // The step is the whole gang's. Each rank has its share of rows, and about that of tokens.
  Step own = step;
  own.tokens /= context_.job().gang.size;
  own.tokens_per_second /= context_.job().gang.size;
  context_.deps.metrics.Stepped(own, peak_memory_);
  const absl::Duration elapsed = context_.deps.clock.SteadyNow() - started_;
  const int64_t done = step.step - state_.step;
  const int64_t all = std::max(place_.all_steps, step.steps);
  Progress progress{.step = place_.first_step + step.step,
                    .steps = all,
                    .tokens = step.tokens_seen,
                    .epoch = step.epoch,
                    .tokens_per_second = step.tokens_per_second,
                    .train_loss = step.loss,
                    .valid_loss = std::nullopt,
                    .eta = done > 0 ? elapsed / done * (all - place_.first_step - step.step)
                                    : absl::ZeroDuration(),
                    .phase = "training"};
  Metric metric{.step = place_.first_step + step.step,
                .time = context_.deps.clock.Now(),
                .values = step.objective};
  metric.values.insert({{"train_loss", step.loss},
                        {"learning_rate", step.learning_rate},
                        {"grad_norm", step.grad_norm},
                        {"tokens", static_cast<double>(step.tokens_seen)},
                        {"tokens_per_second", step.tokens_per_second},
                        {"memory_bytes", static_cast<double>(peak_memory_)}});
  if (validation_.has_value()) {
    progress.valid_loss = validation_->loss;
    metric.values["valid_loss"] = validation_->loss;
    metric.values["valid_mean_token_accuracy"] = validation_->token_accuracy;
    for (const auto& [name, value] : validation_->objective) metric.values["valid_" + name] = value;
  }
  context_.keeper.TellProgress(progress, std::move(metric), peak_memory_);
  context_.deps.board.Change([&](JobStatus& status) {
    status.step = place_.first_step + step.step;
    status.steps = all;
    status.tokens_per_second = own.tokens_per_second;
  });
  last_ = step;
}

absl::StatusOr<std::string> Training::PutAdapter(const std::string& name,
                                                 const std::string& holder) {
  const std::filesystem::path folder = context_.folder / name;
  RETURN_IF_ERROR(run_->ExportAdapter(folder));
  absl::StatusOr<std::string> digest = PutFolder(context_, "adapter", folder, holder);
  std::error_code ignored;  // the whole attempt's folder goes in the end
  std::filesystem::remove_all(folder, ignored);
  return digest;
}

absl::Status Training::Validate(const Step& step) {
  ASSIGN_OR_RETURN(Validation validation, run_->Validate());
  validation_ = validation;
  state_.curve.push_back(
      {step.step, state_.loss_sum / static_cast<double>(std::max<int64_t>(1, state_.loss_steps)),
       validation.loss});
  state_.loss_sum = 0;
  state_.loss_steps = 0;
  context_.keeper.TellLog(absl::StrFormat("step %d: validation loss %.4f, training loss %.4f",
                                          place_.first_step + step.step, validation.loss,
                                          state_.curve.back().train_loss));
  Alarm(step);
  if (!state_.best_loss.has_value() || validation.loss < *state_.best_loss) {
    state_.best_loss = validation.loss;
    state_.validations_without_gain = 0;
    if (!state_.best_adapter.empty()) former_bests_.push_back(state_.best_adapter);
    if (!gang_.leads()) return absl::OkStatus();
    ASSIGN_OR_RETURN(state_.best_adapter,
                     PutAdapter(absl::StrCat("best-", step.step), BestHolder(context_.job().name)));
  } else {
    state_.validations_without_gain += 1;
  }
  return absl::OkStatus();
}

void Training::Alarm(const Step& step) {
  const std::optional<OverfittingAlarm> alarm =
      Overfitting(state_.curve, place_.plan->objective, state_.told_alarms);
  if (!alarm.has_value()) return;
  state_.told_alarms.push_back(alarm->rule);
  const CurvePoint& last = state_.curve.back();
  const nlohmann::json data = {{"rule", alarm->rule},
                               {"step", place_.first_step + step.step},
                               {"train_loss", last.train_loss},
                               {"valid_loss", last.valid_loss}};
  context_.keeper.TellEvent(Level::kWarn, alarm->message, EventType::kOverfitting, data.dump());
}

absl::Status Training::Checkpoint(const Step& step) {
  if (!gang_.leads()) {  // rank 0's is everyone's
    recorded_step_ = step.step;
    context_.deps.board.Change(
        [&](JobStatus& status) { status.checkpoint_step = place_.first_step + step.step; });
    return absl::OkStatus();
  }
  const absl::Duration before = context_.deps.clock.SteadyNow();
  const std::filesystem::path folder = context_.folder / absl::StrCat("checkpoint-", step.step);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return FileError("make", folder, error.value());
  RETURN_IF_ERROR(run_->SaveCheckpoint(folder / kTrainerFolder));
  RunState state = state_;
  state.step = step.step;
  RETURN_IF_ERROR(WriteRunState(folder, state));
  if (place_.keep) RETURN_IF_ERROR(place_.keep(folder));
  const std::string holder = CheckpointHolder(context_.job().name);
  ASSIGN_OR_RETURN(std::string digest, PutFolder(context_, "checkpoint", folder, holder));
  ASSIGN_OR_RETURN(std::string adapter, PutAdapter(absl::StrCat("adapter-", step.step), holder));
  const int64_t job_step = place_.first_step + step.step;
  Metric metric{.step = job_step, .time = {}, .values = {{"train_loss", step.loss}}};
  if (validation_.has_value()) metric.values["valid_loss"] = validation_->loss;
  // What was said up to this step is stored first: a run that is resumed here does not say it
  // again.
  RETURN_IF_ERROR(Insist(context_, [&] { return context_.keeper.Flush(); }));
  std::vector<std::string> released;
  RETURN_IF_ERROR(Insist(context_, [&] {
    absl::StatusOr<std::vector<std::string>> answer =
        context_.deps.client.RecordCheckpoint(context_.job(), job_step, digest, adapter, metric);
    if (answer.ok()) released = std::move(*answer);
    return answer.status();
  }));
  LetGo(released);
  recorded_step_ = step.step;
  context_.deps.board.Change([&](JobStatus& status) { status.checkpoint_step = job_step; });
  std::filesystem::remove_all(folder, error);
  const absl::Duration took = context_.deps.clock.SteadyNow() - before;
  context_.keeper.TellLog(absl::StrFormat("checkpoint of step %d written in %.1f s", job_step,
                                          absl::ToDoubleSeconds(took)));
  context_.deps.metrics.Checkpointed(took);
  return absl::OkStatus();
}

void Training::LetGo(const std::vector<std::string>& released) {
  const std::string& job = context_.job().name;
  for (const std::string& digest : released) Unpin(context_, digest, CheckpointHolder(job));
  for (const std::string& digest : std::exchange(former_bests_, {})) {
    if (digest != state_.best_adapter) Unpin(context_, digest, BestHolder(job));
  }
}

absl::StatusOr<TrainRun::Decision> Training::OnStep(const Step& step) {
  const TrainPlan& plan = *place_.plan;
  state_.trained_tokens += step.trained_tokens;
  state_.loss_sum += step.loss;
  state_.loss_steps += 1;
  if (place_.on_step) place_.on_step(step);
  const bool last = step.step == step.steps;
  validation_.reset();
  if (run_->has_validation() && (last || step.step % plan.eval_every == 0)) {
    RETURN_IF_ERROR(Validate(step));
  }
  Tell(step);
  stop_ = AskedToStop(context_, &checkpoint_asked_);
  if (stop_ == Stop::kLost) return TrainRun::Decision::kStop;
  if (!last) {
    ASSIGN_OR_RETURN(stop_, gang_.Agree(stop_));
  }
  const bool early =
      plan.early_stop_patience > 0 && state_.validations_without_gain >= plan.early_stop_patience;
  const bool hopeless = validation_.has_value() && place_.hopeless && place_.hopeless(state_, step);
  if (!last && (early || hopeless)) {
    stop_ = hopeless ? Stop::kHopeless : Stop::kEarly;
    return TrainRun::Decision::kStop;
  }
  // After the last step there is nothing left to save: the adapter itself is published next.
  if (last) return TrainRun::Decision::kContinue;
  if (stop_ != Stop::kNone) {
    // The lease goes back in any case; without this checkpoint the next worker repeats some steps.
    const absl::Status saved = Checkpoint(step);
    if (HasReason(saved, "LEASE_LOST")) return saved;
    if (!saved.ok()) context_.deps.logger.Warning("last_checkpoint_failed", {{"error", saved}});
    return TrainRun::Decision::kStop;
  }
  if (checkpoint_asked_ || step.step - recorded_step_ >= plan.checkpoint_every) {
    RETURN_IF_ERROR(Checkpoint(step));
    checkpoint_asked_ = false;
  }
  return TrainRun::Decision::kContinue;
}

absl::StatusOr<TrainingEnd> Training::Finish(Stop stop) {
  TrainingEnd end{.stop = stop,
                  .ending = {},
                  .checkpoint_step = place_.first_step + recorded_step_,
                  .bests = {},
                  .trial_bests = {},
                  .state = state_};
  if (!gang_.leads() && gang_.peers() != nullptr && stop != Stop::kLost) {
    AwaitLeader(context_);
    end.followed = true;
    return end;
  }
  const bool ended = stop == Stop::kNone || stop == Stop::kEarly || stop == Stop::kHopeless;
  if (!ended) return end;
  end.state.step = last_.step;
  end.bests = former_bests_;
  end.ending.adapter_digest = state_.best_adapter;
  end.ending.trained_tokens = state_.trained_tokens;
  end.ending.tokens = tokens_;
  end.ending.seconds = absl::ToDoubleSeconds(context_.deps.clock.SteadyNow() - started_);
  end.ending.peak_memory_bytes = peak_memory_;
  if (place_.publish) RETURN_IF_ERROR(Publish(stop, end));
  return end;
}

absl::Status Training::Publish(Stop stop, TrainingEnd& end) {
  context_.keeper.TellPhase("publishing");
  const std::string holder = OutputHolder(context_.job().name);
  if (!state_.best_adapter.empty()) {
    RETURN_IF_ERROR(context_.deps.blobs.Pin(state_.best_adapter, holder));
    end.bests.push_back(state_.best_adapter);
  } else {
    ASSIGN_OR_RETURN(end.ending.adapter_digest, PutAdapter("adapter", holder));
  }
  if (state_.best_loss.has_value()) {
    context_.keeper.TellEvent(
        Level::kInfo,
        absl::StrFormat("published the adapter with the best validation loss, %.4f%s",
                        *state_.best_loss, stop == Stop::kEarly ? " (stopped early)" : ""));
  }
  end.ending.seconds = absl::ToDoubleSeconds(context_.deps.clock.SteadyNow() - started_);
  return absl::OkStatus();
}

absl::StatusOr<TrainingEnd> Training::Run() {
  started_ = context_.deps.clock.SteadyNow();
  RETURN_IF_ERROR(Prepare());
  started_ = context_.deps.clock.SteadyNow();
  if (stop_ != Stop::kNone) return Finish(stop_);
  absl::Status failed;
  absl::StatusOr<bool> finished = run_->Train([&](const Step& step) {
    absl::StatusOr<TrainRun::Decision> decision = OnStep(step);
    if (!decision.ok()) failed = decision.status();
    return decision.value_or(TrainRun::Decision::kStop);
  });
  RETURN_IF_ERROR(failed);
  RETURN_IF_ERROR(finished.status());
  return Finish(*finished && stop_ != Stop::kLost ? Stop::kNone : stop_);
}

}  // namespace crossover::worker
