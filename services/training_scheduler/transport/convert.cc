#include "services/training_scheduler/transport/convert.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/transport/convert_spec.h"
#include "services/training_scheduler/transport/convert_usage.h"
#include "services/training_scheduler/transport/enums.h"

namespace crossover::scheduler {
namespace {

google::type::Money ToMoney(double usd) {
  google::type::Money money;
  money.set_currency_code("USD");
  money.set_units(static_cast<int64_t>(std::floor(usd)));
  money.set_nanos(static_cast<int32_t>((usd - std::floor(usd)) * 1e9));
  return money;
}

pb::Progress ProgressToProto(const Progress& progress) {
  pb::Progress out;
  out.set_step(progress.step);
  out.set_steps(progress.steps);
  out.set_tokens(progress.tokens);
  out.set_epoch(progress.epoch);
  out.set_tokens_per_second(progress.tokens_per_second);
  if (progress.train_loss.has_value()) out.set_train_loss(*progress.train_loss);
  if (progress.valid_loss.has_value()) out.set_valid_loss(*progress.valid_loss);
  if (progress.eta > absl::ZeroDuration()) *out.mutable_eta() = ToProto(progress.eta);
  out.set_phase(progress.phase);
  return out;
}

Progress ProgressFromProto(const pb::Progress& progress) {
  Progress out;
  out.step = progress.step();
  out.steps = progress.steps();
  out.tokens = progress.tokens();
  out.epoch = progress.epoch();
  out.tokens_per_second = progress.tokens_per_second();
  if (progress.has_train_loss()) out.train_loss = progress.train_loss();
  if (progress.has_valid_loss()) out.valid_loss = progress.valid_loss();
  out.eta = FromProto(progress.eta());
  out.phase = progress.phase();
  return out;
}

pb::Outputs OutputsToProto(const Outputs& outputs) {
  pb::Outputs out;
  out.set_adapter(outputs.adapter_digest);
  out.set_artifact(outputs.artifact_digest);
  out.set_report(outputs.report_digest);
  out.set_model_version(outputs.model_version);
  out.set_model_alias(outputs.model_alias);
  out.set_trained_tokens(outputs.trained_tokens);
  return out;
}

pb::JobError ErrorToProto(const JobError& error) {
  pb::JobError out;
  out.set_class_(ToEnum<pb::JobError::Class>(Name(error.error_class)));
  out.set_reason(error.reason);
  out.set_message(error.message);
  out.set_log_tail(error.log_tail);
  out.set_field(error.field);
  return out;
}

JobError ErrorFromProto(const pb::JobError& error) {
  return {FromEnum(error.class_(), &ParseErrorClass).value_or(ErrorClass::kPlatform),
          error.reason(), error.message(), error.log_tail(), error.field()};
}

void SetTimes(const Job& job, pb::Job& out) {
  *out.mutable_create_time() = ToProto(job.create_time);
  *out.mutable_update_time() = ToProto(job.update_time);
  if (job.start_time.has_value()) *out.mutable_start_time() = ToProto(*job.start_time);
  if (job.deadline.has_value()) *out.mutable_deadline() = ToProto(*job.deadline);
  if (job.run_time.has_value()) *out.mutable_first_start_time() = ToProto(*job.run_time);
  if (job.finish_time.has_value()) *out.mutable_finish_time() = ToProto(*job.finish_time);
}

}  // namespace

std::string EtagOf(absl::Time update_time) {
  return absl::StrCat(absl::Hex(absl::ToUnixMicros(update_time)));
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t micros = absl::ToUnixMicros(time);
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  return out;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration out;
  const int64_t micros = absl::ToInt64Microseconds(duration);
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  return out;
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

pb::Resources ToProto(const Consumption& consumption) {
  pb::Resources out;
  *out.mutable_seconds() = ToProto(absl::Seconds(consumption.seconds));
  out.set_peak_memory_bytes(consumption.peak_memory_bytes);
  if (consumption.cost_usd > 0) *out.mutable_cost() = ToMoney(consumption.cost_usd);
  out.set_tokens(consumption.tokens);
  return out;
}

Consumption FromProto(const pb::Resources& resources) {
  Consumption out;
  out.seconds = absl::ToDoubleSeconds(FromProto(resources.seconds()));
  out.peak_memory_bytes = resources.peak_memory_bytes();
  out.tokens = resources.tokens();
  return out;
}

absl::StatusOr<Job> FromProto(const pb::Job& job, const std::string& project) {
  Job out;
  out.project = project;
  out.display_name = job.display_name();
  out.labels.insert(job.labels().begin(), job.labels().end());
  const std::optional<JobKind> kind = FromEnum(job.kind(), &ParseJobKind);
  if (!kind.has_value()) {
    return Error(
        absl::StatusCode::kInvalidArgument,
        "job.kind is required: SFT, PREFERENCE, DISTIL, SWEEP or EXPORT",
        {.reason = "FIELD_REQUIRED",
         .metadata = {},
         .violations = {{"kind", "is required: SFT, PREFERENCE, DISTIL, SWEEP or EXPORT"}}});
  }
  out.kind = *kind;
  out.spec = SpecFromProto(job.spec());
  out.task = job.task();
  out.base_model = job.base_model();
  out.dataset_version = job.dataset_version();
  out.priority = job.priority();
  if (!job.queue().empty()) out.queue = job.queue();
  out.requirements = {.device = job.requirements().device(),
                      .memory_bytes = job.requirements().memory_bytes()};
  if (job.requirements().gang_size() != 0) {
    out.requirements.gang_size = job.requirements().gang_size();
  }
  if (job.has_start_time()) out.start_time = FromProto(job.start_time());
  if (job.has_deadline()) out.deadline = FromProto(job.deadline());
  if (job.max_failures() != 0) out.max_failures = job.max_failures();
  for (const std::string& name : job.depends_on()) {
    ASSIGN_OR_RETURN(JobName dependency, ParseJobName("depends_on", name));
    out.depends_on.push_back(dependency.job);
  }
  return out;
}

pb::Job ToProto(const Job& job) {
  pb::Job out;
  out.set_name(FormatJobName(job.project, job.id));
  out.set_etag(EtagOf(job.update_time));
  out.set_display_name(job.display_name);
  out.mutable_labels()->insert(job.labels.begin(), job.labels.end());
  out.set_kind(ToEnum<pb::Job::Kind>(Name(job.kind)));
  *out.mutable_spec() = SpecToProto(job.kind, job.spec);
  if (!job.inputs.base_digest.empty()) *out.mutable_resolved_spec() = ResolvedToProto(job);
  out.set_task(job.task);
  out.set_base_model(job.base_model);
  out.set_dataset_version(job.dataset_version);
  out.set_priority(job.priority);
  out.set_queue(job.queue);
  for (const JobId& id : job.depends_on) out.add_depends_on(FormatJobName(job.project, id));
  out.set_max_failures(job.max_failures);
  if (!job.requirements.device.empty()) {
    out.mutable_requirements()->set_device(job.requirements.device);
  }
  if (job.requirements.gang_size > 1) {
    out.mutable_requirements()->set_gang_size(job.requirements.gang_size);
  }
  if (job.requirements.memory_bytes != 0) {
    out.mutable_requirements()->set_memory_bytes(job.requirements.memory_bytes);
  }
  out.set_state(ToEnum<pb::Job::State>(Name(job.state)));
  out.set_state_reason(job.state_reason);
  out.set_lease_epoch(job.lease_epoch);
  out.set_failure_count(job.failure_count);
  out.set_lease_loss_count(job.lease_loss_count);
  *out.mutable_progress() = ProgressToProto(job.progress);
  *out.mutable_estimate() = ToProto(job.estimate);
  *out.mutable_actual() = ToProto(job.actual);
  if (!job.worker.empty()) out.set_worker(absl::StrCat("workers/", job.worker));
  *out.mutable_outputs() = OutputsToProto(job.outputs);
  if (job.last_checkpoint_step > 0) {
    out.mutable_outputs()->add_checkpoints(
        absl::StrCat(out.name(), "/checkpoints/", job.last_checkpoint_step));
  }
  if (job.error.has_value()) *out.mutable_error() = ErrorToProto(*job.error);
  SetTimes(job, out);
  return out;
}

pb::JobEvent ToProto(const JobEvent& event) {
  pb::JobEvent out;
  out.set_sequence(event.sequence);
  *out.mutable_time() = ToProto(event.time);
  out.set_level(ToEnum<pb::JobEvent::Level>(Name(event.level)));
  out.set_type(ToEnum<pb::JobEvent::Type>(Name(event.type)));
  out.set_message(event.message);
  out.set_data(event.data);
  out.set_lease_epoch(event.epoch);
  out.set_worker_seq(event.worker_seq);
  return out;
}

pb::Checkpoint ToProto(const Checkpoint& checkpoint, const Job& job, bool best) {
  pb::Checkpoint out;
  out.set_name(absl::StrCat(FormatJobName(job.project, job.id), "/checkpoints/", checkpoint.step));
  *out.mutable_create_time() = ToProto(checkpoint.create_time);
  *out.mutable_update_time() = ToProto(checkpoint.update_time);
  out.set_etag(EtagOf(checkpoint.update_time));
  out.set_step(checkpoint.step);
  out.set_digest(checkpoint.digest);
  out.set_adapter_digest(checkpoint.adapter_digest);
  MetricPoint point;
  point.step = checkpoint.step;
  point.time = checkpoint.create_time;
  point.epoch = checkpoint.epoch;
  point.values = checkpoint.metrics;
  *out.mutable_metrics() = ToProto(point);
  out.set_lease_epoch(checkpoint.epoch);
  out.set_pinned(checkpoint.pinned);
  out.set_best(best);
  out.set_model_alias(checkpoint.adapter_digest);
  return out;
}

Heartbeat FromProto(const pb::HeartbeatRequest& request) {
  Heartbeat beat;
  beat.worker_seq = request.worker_seq();
  beat.progress = ProgressFromProto(request.progress());
  for (const pb::JobEvent& from : request.events()) {
    JobEvent event;
    event.level = FromEnum(from.level(), &ParseEventLevel).value_or(EventLevel::kInfo);
    event.type = FromEnum(from.type(), &ParseEventType).value_or(EventType::kMessage);
    event.message = from.message();
    event.data = from.data();
    event.worker_seq = from.worker_seq();
    beat.events.push_back(std::move(event));
  }
  for (const pb::MetricPoint& point : request.metrics()) beat.metrics.push_back(FromProto(point));
  beat.log_lines.assign(request.log_lines().begin(), request.log_lines().end());
  beat.peak_memory_bytes = request.peak_memory_bytes();
  if (request.has_usage()) beat.usage = UsageFromProto(request.usage());
  return beat;
}

Outcome FromProto(const pb::CompleteJobRequest& request) {
  Outcome outcome;
  outcome.actual = FromProto(request.actual());
  if (request.has_last_report()) outcome.last_report = FromProto(request.last_report());
  if (request.has_failure()) outcome.error = ErrorFromProto(request.failure());
  const pb::Outputs& outputs = request.success();
  outcome.outputs = {.adapter_digest = outputs.adapter(),
                     .artifact_digest = outputs.artifact(),
                     .report_digest = outputs.report(),
                     .model_version = "",
                     .model_alias = "",
                     .trained_tokens = outputs.trained_tokens(),
                     .bytes = 0};
  return outcome;
}

LeaseRequest FromProto(const pb::LeaseJobRequest& request) {
  LeaseRequest out;
  out.worker = ParseWorker(request.worker());
  out.incarnation = request.incarnation();
  out.version = request.version();
  if (request.has_usage()) out.usage = UsageFromProto(request.usage());
  const pb::Capabilities& from = request.capabilities();
  Capabilities& to = out.capabilities;
  for (const std::string& kind : from.kinds()) {
    if (const auto parsed = ParseJobKind(kind)) to.kinds.push_back(*parsed);
  }
  to.queues.assign(from.queues().begin(), from.queues().end());
  to.gang = from.gang();
  for (const std::string& type : from.compute_types()) {
    if (const auto parsed = ParseComputeType(absl::AsciiStrToUpper(type)))
      to.compute_types.push_back(*parsed);
  }
  out.rendezvous = from.rendezvous();
  to.base_digests.assign(from.base_digests().begin(), from.base_digests().end());
  if (from.devices_size() > 0) {
    to.device = from.devices(0).kind();
    to.memory_bytes = from.devices(0).memory_bytes();
    to.threads = from.devices(0).units();
  }
  return out;
}

pb::LeaseJobResponse ToProto(const GrantedLease& granted, const LeaseOptions& options) {
  pb::LeaseJobResponse out;
  *out.mutable_job() = ToProto(granted.job);
  *out.mutable_resolved_spec() =
      out.job().has_resolved_spec() ? out.job().resolved_spec() : ResolvedToProto(granted.job);
  const auto add = [&](const char* role, const std::string& digest) {
    if (digest.empty()) return;
    pb::JobInput* input = out.add_inputs();
    input->set_role(role);
    input->set_digest(digest);
  };
  add("base_model", granted.job.inputs.base_digest);
  add("dataset", granted.job.inputs.dataset_digest);
  add("adapter", granted.job.inputs.adapter_digest);
  if (granted.resume.has_value()) {
    *out.mutable_resume_checkpoint() = ToProto(*granted.resume, granted.job);
  }
  for (const Checkpoint& checkpoint : granted.earlier)
    *out.add_earlier_checkpoints() = ToProto(checkpoint, granted.job);
  pb::Lease* lease = out.mutable_lease();
  lease->set_token(granted.token.secret);
  lease->set_epoch(granted.token.epoch);
  *lease->mutable_ttl() = ToProto(options.ttl);
  *lease->mutable_heartbeat_interval() = ToProto(options.heartbeat_interval);
  if (granted.gang.has_value()) {
    pb::Gang* gang = out.mutable_gang();
    gang->set_rank(granted.gang->rank);
    gang->set_size(granted.gang->size);
    gang->set_rendezvous(granted.gang->rendezvous);
  }
  out.set_next_worker_seq(1);
  return out;
}

pb::Worker ToProto(const WorkerRecord& worker) {
  pb::Worker out;
  out.set_name(absl::StrCat("workers/", worker.name));
  *out.mutable_create_time() = ToProto(worker.create_time);
  *out.mutable_update_time() = ToProto(
      worker.usage.has_value() ? std::max(worker.seen_time, worker.usage->time) : worker.seen_time);
  if (worker.usage.has_value()) *out.mutable_usage() = UsageToProto(*worker.usage);
  out.set_state(!worker.job.empty() ? pb::Worker::BUSY
                : worker.silent     ? pb::Worker::LOST
                                    : pb::Worker::IDLE);
  const Capabilities& from = worker.capabilities;
  pb::Capabilities& to = *out.mutable_capabilities();
  for (const JobKind kind : from.kinds) to.add_kinds(std::string(Name(kind)));
  to.mutable_queues()->Add(from.queues.begin(), from.queues.end());
  to.mutable_base_digests()->Add(from.base_digests.begin(), from.base_digests.end());
  to.set_gang(from.gang);
  for (const ComputeType type : from.compute_types)
    to.add_compute_types(absl::AsciiStrToLower(ToAbsl(Name(type))));
  pb::Capabilities::Device* device = to.add_devices();
  device->set_kind(from.device);
  device->set_memory_bytes(from.memory_bytes);
  device->set_units(from.threads);
  if (!worker.job.empty()) out.set_job(FormatJobName(worker.project, worker.job));
  out.set_incarnation(worker.incarnation);
  out.set_version(worker.version);
  return out;
}

pb::ModelVersion ToProto(const ModelVersion& version) {
  pb::ModelVersion out;
  out.set_name(FormatModelName({version.project, version.model, version.digest}));
  *out.mutable_create_time() = ToProto(version.create_time);
  *out.mutable_update_time() = ToProto(version.create_time);
  out.set_kind(ToEnum<pb::ModelVersion::Kind>(Name(version.kind)));
  out.set_state(pb::ModelVersion::READY);
  out.set_digest(version.digest);
  out.set_architecture(version.architecture);
  out.set_base_digest(version.base_digest);
  out.set_tokenizer_digest(version.tokenizer_digest);
  out.set_template_digest(version.template_digest);
  out.set_parameters(version.parameters);
  out.set_size_bytes(version.bytes);
  if (!version.source_job.empty()) {
    out.set_source_job(FormatJobName(version.project, version.source_job));
  }
  out.set_alias(version.alias);
  out.set_context_length(version.context_length);
  out.set_dataset_version(version.dataset_version);
  out.set_task(version.task);
  out.set_licence(version.licence);
  return out;
}

pb::Model ToProto(const Model& model) {
  pb::Model out;
  out.set_name(FormatModelName({model.project, model.model, ""}));
  *out.mutable_create_time() = ToProto(model.create_time);
  *out.mutable_update_time() = ToProto(model.update_time);
  out.set_etag(EtagOf(model.update_time));
  out.mutable_labels()->insert(model.labels.begin(), model.labels.end());
  out.set_display_name(model.display_name);
  out.set_current_version(FormatModelName({model.project, model.model, model.current_digest}));
  out.set_kind(ToEnum<pb::ModelVersion::Kind>(Name(model.kind)));
  return out;
}

}  // namespace crossover::scheduler
