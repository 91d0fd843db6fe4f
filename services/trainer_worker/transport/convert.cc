#include "services/trainer_worker/transport/convert.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {
namespace {

absl::Duration DurationFrom(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

google::protobuf::Duration DurationTo(absl::Duration duration) {
  google::protobuf::Duration out;
  const int64_t micros = absl::ToInt64Microseconds(duration);
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  return out;
}

absl::Status NotKnown(const std::string& what) {
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat("this worker does not know ", what));
}

absl::Status FormatFrom(pb::ExportSpec::Format from, ExportFormat& to) {
  constexpr std::pair<pb::ExportSpec::Format, ExportFormat> kFormats[] = {
      {pb::ExportSpec::PEFT, ExportFormat::kPeft},
      {pb::ExportSpec::GGUF_F16, ExportFormat::kGgufF16},
      {pb::ExportSpec::GGUF_BF16, ExportFormat::kGgufBf16},
      {pb::ExportSpec::GGUF_Q8_0, ExportFormat::kGgufQ8_0},
      {pb::ExportSpec::GGUF_Q4_0, ExportFormat::kGgufQ4_0},
      {pb::ExportSpec::GGUF_Q4_K_M, ExportFormat::kGgufQ4_K_M},
      {pb::ExportSpec::GGUF_Q5_K_M, ExportFormat::kGgufQ5_K_M},
      {pb::ExportSpec::GGUF_Q6_K, ExportFormat::kGgufQ6_K},
      {pb::ExportSpec::GGUF_ADAPTER, ExportFormat::kGgufAdapter},
      {pb::ExportSpec::SAFETENSORS, ExportFormat::kSafetensors},
  };
  for (const auto& [name, format] : kFormats) {
    if (name != from) continue;
    to = format;
    return absl::OkStatus();
  }
  return NotKnown("export format " + pb::ExportSpec::Format_Name(from));
}

Packing PackingFrom(pb::TrainingSpec::Packing packing) {
  if (packing == pb::TrainingSpec::NONE) return Packing::kNone;
  if (packing == pb::TrainingSpec::ROWS) return Packing::kRows;
  return Packing::kSharedPrefix;
}

Schedule ScheduleFrom(pb::TrainingSpec::Schedule schedule) {
  if (schedule == pb::TrainingSpec::CONSTANT) return Schedule::kConstant;
  if (schedule == pb::TrainingSpec::LINEAR) return Schedule::kLinear;
  if (schedule == pb::TrainingSpec::WSD) return Schedule::kWsd;
  return Schedule::kCosine;
}

LossOn LossOnFrom(pb::TrainingSpec::LossOn loss_on) {
  if (loss_on == pb::TrainingSpec::LAST_ASSISTANT) return LossOn::kLastAssistant;
  if (loss_on == pb::TrainingSpec::ALL_ASSISTANTS) return LossOn::kAllAssistants;
  if (loss_on == pb::TrainingSpec::ALL_TOKENS) return LossOn::kAllTokens;
  return LossOn::kByRow;
}

Techniques TechniquesFrom(const pb::TrainingSpec& spec) {
  const pb::AdapterSpec& adapter = spec.adapter();
  Techniques out;
  out.dropout = adapter.dropout();
  out.layers.assign(adapter.layers().begin(), adapter.layers().end());
  out.rank_pattern.insert(adapter.rank_pattern().begin(), adapter.rank_pattern().end());
  out.alpha_pattern.insert(adapter.alpha_pattern().begin(), adapter.alpha_pattern().end());
  out.dora = adapter.dora();
  if (adapter.initial() == pb::AdapterSpec::PISSA) out.initial = InitialAdapter::kPissa;
  // A scheduler that does not know them leaves them out.
  if (spec.has_decay_share()) out.decay_share = spec.decay_share();
  if (spec.has_lora_plus_ratio()) out.lora_plus_ratio = spec.lora_plus_ratio();
  out.embedding_noise = spec.embedding_noise();
  if (spec.activations() == pb::TrainingSpec::KEEP) out.activations = ActivationPolicy::kKeep;
  if (spec.activations() == pb::TrainingSpec::RECOMPUTE)
    out.activations = ActivationPolicy::kRecompute;
  return out;
}

Objective ObjectiveFrom(pb::Job::Kind kind) {
  if (kind == pb::Job::PREFERENCE) return Objective::kPreference;
  return kind == pb::Job::DISTIL ? Objective::kDistil : Objective::kSupervised;
}

// `asked` is what a person wrote; what nobody asked for of the compute type follows the processor,
// what somebody did ask for is kept to.
TrainPlan PlanFrom(const pb::TrainingSpec& spec, const pb::TrainingSpec& asked,
                   pb::Job::Kind kind) {
  TrainPlan plan;
  plan.objective = ObjectiveFrom(kind);
  plan.preference_beta = spec.preference_beta();
  plan.label_smoothing = spec.preference_label_smoothing();
  plan.distil_weight = spec.distil_weight();
  plan.kl_weight = spec.kl_weight();
  plan.steps = spec.steps();
  plan.rank = spec.adapter().r();
  plan.alpha = spec.adapter().alpha();
  plan.rank_stabilised = spec.adapter().rank_stabilised();
  plan.targets.assign(spec.adapter().targets().begin(), spec.adapter().targets().end());
  plan.learning_rate = spec.learning_rate();
  plan.schedule = ScheduleFrom(spec.schedule());
  plan.warmup_steps = spec.warmup_steps();
  plan.batch_size = spec.batch_size();
  plan.epochs = spec.epochs();
  plan.max_steps = spec.max_steps();
  plan.max_length = spec.max_length();
  plan.seed = spec.seed();
  plan.packing = PackingFrom(spec.packing());
  plan.tokens_per_sequence = spec.tokens_per_sequence();
  plan.loss_on = LossOnFrom(spec.loss_on());
  plan.compute_type = asked.compute_type() == pb::TrainingSpec::COMPUTE_TYPE_UNSPECIFIED
                          ? ComputeType::kAuto
                      : spec.compute_type() == pb::TrainingSpec::FLOAT32 ? ComputeType::kFloat32
                                                                         : ComputeType::kBfloat16;
  plan.weight_decay = spec.weight_decay();
  plan.adam_beta1 = spec.adam_beta1();
  plan.adam_beta2 = spec.adam_beta2();
  plan.adam_epsilon = spec.adam_epsilon();
  plan.max_grad_norm = spec.max_grad_norm();
  plan.max_rows = spec.max_rows();
  plan.validation_fraction = spec.validation_fraction();
  plan.checkpoint_every = std::max<int64_t>(1, spec.checkpoint_every());
  plan.eval_every = std::max<int64_t>(1, spec.eval_every());
  plan.early_stop_patience = spec.early_stop_patience();
  plan.template_date = spec.template_date();
  plan.techniques = TechniquesFrom(spec);
  return plan;
}

// Several workers share a training, not a grid of them, nor an export.
absl::Status GangFrom(const pb::LeaseJobResponse& response, LeasedJob& job) {
  if (!response.has_gang()) return absl::OkStatus();
  const pb::Gang& gang = response.gang();
  job.gang = {
      .rank = gang.rank(), .size = std::max(1, gang.size()), .rendezvous = gang.rendezvous()};
  const pb::Job::Kind kind = response.job().kind();
  if (kind == pb::Job::SFT || kind == pb::Job::PREFERENCE || kind == pb::Job::DISTIL)
    return absl::OkStatus();
  return NotKnown(absl::StrCat("jobs of kind ", pb::Job::Kind_Name(kind), " for several workers"));
}

absl::Status SpecFrom(const pb::LeaseJobResponse& response, LeasedJob& job) {
  const pb::JobSpec& spec = response.resolved_spec();
  switch (response.job().kind()) {
    case pb::Job::SFT:
    case pb::Job::PREFERENCE:
    case pb::Job::DISTIL:
      job.train =
          PlanFrom(spec.training(), response.job().spec().training(), response.job().kind());
      return absl::OkStatus();
    case pb::Job::SWEEP:
      job.sweep.median_stop = spec.sweep().median_stop();
      for (const pb::SweepSpec::Trial& trial : spec.sweep().trials()) {
        job.sweep.trials.push_back({{trial.values().begin(), trial.values().end()},
                                    PlanFrom(trial.spec(), response.job().spec().sweep().base(),
                                             spec.sweep().objective())});
      }
      if (job.sweep.trials.empty()) return NotKnown("a sweep without trials");
      return absl::OkStatus();
    case pb::Job::EXPORT:
      job.is_export = true;
      job.model_export.template_date = spec.model_export().template_date();
      return FormatFrom(spec.model_export().format(), job.model_export.format);
    default:
      return NotKnown("jobs of kind " + pb::Job::Kind_Name(response.job().kind()));
  }
}

pb::Progress ProgressTo(const Progress& progress) {
  pb::Progress out;
  out.set_step(progress.step);
  out.set_steps(progress.steps);
  out.set_tokens(progress.tokens);
  out.set_epoch(progress.epoch);
  out.set_tokens_per_second(progress.tokens_per_second);
  if (progress.train_loss.has_value()) out.set_train_loss(*progress.train_loss);
  if (progress.valid_loss.has_value()) out.set_valid_loss(*progress.valid_loss);
  *out.mutable_eta() = DurationTo(progress.eta);
  out.set_phase(progress.phase);
  return out;
}

pb::JobEvent EventTo(const Event& event) {
  pb::JobEvent out;
  out.set_worker_seq(event.seq);
  out.set_type(event.type == EventType::kOverfitting  ? pb::JobEvent::OVERFITTING
               : event.type == EventType::kTrialEnded ? pb::JobEvent::TRIAL_ENDED
                                                      : pb::JobEvent::MESSAGE);
  out.set_data(event.data);
  out.set_level(event.level == Level::kError  ? pb::JobEvent::ERROR
                : event.level == Level::kWarn ? pb::JobEvent::WARN
                                              : pb::JobEvent::INFO);
  out.set_message(event.message);
  return out;
}

pb::JobError::Class ClassTo(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::kUser:
      return pb::JobError::USER;
    case ErrorClass::kPlatform:
      return pb::JobError::PLATFORM;
    case ErrorClass::kInfrastructure:
      return pb::JobError::INFRASTRUCTURE;
  }
  return pb::JobError::CLASS_UNSPECIFIED;
}

}  // namespace

absl::StatusOr<LeasedJob> FromProto(const pb::LeaseJobResponse& response) {
  LeasedJob job;
  job.name = response.job().name();
  job.token = response.lease().token();
  job.epoch = response.lease().epoch();
  job.ttl = DurationFrom(response.lease().ttl());
  job.heartbeat_interval = DurationFrom(response.lease().heartbeat_interval());
  job.next_seq = std::max<int64_t>(1, response.next_worker_seq());
  for (const pb::JobInput& input : response.inputs()) {
    if (input.role() == "base_model") job.base_digest = input.digest();
    if (input.role() == "dataset") job.dataset_digest = input.digest();
    if (input.role() == "adapter") job.adapter_digest = input.digest();
  }
  job.resume_checkpoint = response.resume_checkpoint().digest();
  job.resume_step = response.resume_checkpoint().step();
  for (const pb::Checkpoint& earlier : response.earlier_checkpoints())
    job.earlier_checkpoints.push_back({earlier.digest(), earlier.step()});
  RETURN_IF_ERROR(GangFrom(response, job));
  RETURN_IF_ERROR(SpecFrom(response, job));
  return job;
}

pb::MetricPoint ToProto(const Metric& metric) {
  pb::MetricPoint out;
  out.set_step(metric.step);
  const int64_t micros = absl::ToUnixMicros(metric.time);
  out.mutable_time()->set_seconds(micros / 1'000'000);
  out.mutable_time()->set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  const auto* descriptor = pb::MetricPoint::descriptor();
  const auto* reflection = out.GetReflection();
  for (const auto& [name, value] : metric.values) {
    const auto* field = descriptor->FindFieldByName(name);
    if (field == nullptr) continue;  // a metric this version of the protos does not have
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_DOUBLE) {
      reflection->SetDouble(&out, field, value);
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) {
      reflection->SetInt64(&out, field, std::llround(value));
    }
  }
  return out;
}

pb::HeartbeatRequest ToProto(const LeasedJob& job, const Report& report) {
  pb::HeartbeatRequest out;
  out.set_job(job.name);
  out.set_token(job.token);
  out.set_epoch(job.epoch);
  out.set_worker_seq(report.seq);
  *out.mutable_progress() = ProgressTo(report.progress);
  for (const Event& event : report.events) *out.add_events() = EventTo(event);
  for (const Metric& metric : report.metrics) *out.add_metrics() = ToProto(metric);
  for (const std::string& line : report.log_lines) out.add_log_lines(line);
  out.set_peak_memory_bytes(report.peak_memory_bytes);
  return out;
}

BeatReply FromProto(const pb::HeartbeatResponse& response) {
  BeatReply reply;
  switch (response.directive()) {
    case pb::HeartbeatResponse::CHECKPOINT:
      reply.directive = Directive::kCheckpoint;
      break;
    case pb::HeartbeatResponse::PAUSE:
      reply.directive = Directive::kPause;
      break;
    case pb::HeartbeatResponse::CANCEL:
      reply.directive = Directive::kCancel;
      break;
    case pb::HeartbeatResponse::RELEASE:
      reply.directive = Directive::kRelease;
      break;
    default:
      break;
  }
  reply.ttl = DurationFrom(response.ttl());
  reply.accepted_seq = response.accepted_seq();
  return reply;
}

pb::CompleteJobRequest ToProto(const LeasedJob& job, const Ending& ending, const Report& last) {
  pb::CompleteJobRequest out;
  out.set_job(job.name);
  out.set_token(job.token);
  out.set_epoch(job.epoch);
  if (ending.failure.has_value()) {
    pb::JobError* error = out.mutable_failure();
    error->set_class_(ClassTo(ending.failure->error_class));
    error->set_reason(ending.failure->reason);
    error->set_message(ending.failure->message);
  } else {
    pb::Outputs* outputs = out.mutable_success();
    outputs->set_adapter(ending.adapter_digest);
    outputs->set_report(ending.report_digest);
    outputs->set_artifact(ending.artifact_digest);
    outputs->set_trained_tokens(ending.trained_tokens);
  }
  pb::Resources* actual = out.mutable_actual();
  *actual->mutable_seconds() = DurationTo(absl::Seconds(ending.seconds));
  actual->set_tokens(ending.tokens);
  actual->set_peak_memory_bytes(ending.peak_memory_bytes);
  *out.mutable_last_report() = ToProto(job, last);
  return out;
}

pb::ReleaseLeaseRequest::Reason ToProto(ReleaseReason reason) {
  switch (reason) {
    case ReleaseReason::kDrain:
      return pb::ReleaseLeaseRequest::DRAIN;
    case ReleaseReason::kPreempted:
      return pb::ReleaseLeaseRequest::PREEMPTED;
    case ReleaseReason::kPaused:
      return pb::ReleaseLeaseRequest::PAUSED;
    case ReleaseReason::kCancelled:
      return pb::ReleaseLeaseRequest::CANCELLED;
    case ReleaseReason::kCrashed:
      return pb::ReleaseLeaseRequest::CRASHED;
  }
  return pb::ReleaseLeaseRequest::REASON_UNSPECIFIED;
}

pb::WorkerUsage ToProto(const DeviceUsage& usage) {
  pb::WorkerUsage out;
  pb::WorkerUsage::Device* device = out.add_devices();
  device->set_kind(usage.kind);
  device->set_memory_bytes(usage.memory_bytes);
  device->set_memory_limit_bytes(usage.memory_limit_bytes);
  device->set_busy_ratio(usage.busy_ratio);
  out.set_tokens_per_second(usage.tokens_per_second);
  return out;
}

}  // namespace crossover::worker
