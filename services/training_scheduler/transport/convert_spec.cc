#include "services/training_scheduler/transport/convert_spec.h"

#include "services/training_scheduler/transport/convert.h"
#include "services/training_scheduler/transport/convert_techniques.h"
#include "services/training_scheduler/transport/enums.h"

namespace crossover::scheduler {
namespace {

// Copies an optional proto field: `GET(field)` into the domain, `PUT(field)` back.
#define GET(field, from, to) \
  if ((from).has_##field()) (to).field = (from).field()
#define PUT(field, from, to) \
  if ((from).field.has_value()) (to).set_##field(*(from).field)

void GetAdapter(const pb::AdapterSpec& from, TrainingSpec& to) {
  if (from.has_r()) to.rank = from.r();
  GET(alpha, from, to);
  GET(rank_stabilised, from, to);
  to.targets.assign(from.targets().begin(), from.targets().end());
}

TrainingSpec GetTraining(const pb::TrainingSpec& from) {
  TrainingSpec to;
  GetAdapter(from.adapter(), to);
  to.techniques = TechniquesFromProto(from);
  GET(learning_rate, from, to);
  GET(learning_rate_multiplier, from, to);
  GET(warmup_steps, from, to);
  GET(warmup_ratio, from, to);
  GET(batch_size, from, to);
  GET(epochs, from, to);
  GET(max_steps, from, to);
  GET(max_length, from, to);
  GET(seed, from, to);
  GET(checkpoint_every, from, to);
  GET(eval_every, from, to);
  GET(weight_decay, from, to);
  GET(adam_beta1, from, to);
  GET(adam_beta2, from, to);
  GET(adam_epsilon, from, to);
  GET(max_grad_norm, from, to);
  GET(early_stop_patience, from, to);
  GET(validation_fraction, from, to);
  GET(max_rows, from, to);
  GET(tokens_per_sequence, from, to);
  GET(preference_beta, from, to);
  GET(preference_label_smoothing, from, to);
  GET(distil_weight, from, to);
  GET(kl_weight, from, to);
  to.teacher_logits = from.teacher_logits();
  to.schedule = FromEnum(from.schedule(), &ParseSchedule);
  to.packing = FromEnum(from.packing(), &ParsePacking);
  to.loss_on = FromEnum(from.loss_on(), &ParseLossOn);
  to.compute_type = FromEnum(from.compute_type(), &ParseComputeType);
  to.suffix = from.suffix();
  to.template_date = from.template_date();
  to.initial_adapter = from.initial_adapter();
  return to;
}

void PutTraining(const TrainingSpec& from, pb::TrainingSpec& to) {
  pb::AdapterSpec& adapter = *to.mutable_adapter();
  if (from.rank.has_value()) adapter.set_r(static_cast<int32_t>(*from.rank));
  PUT(alpha, from, adapter);
  PUT(rank_stabilised, from, adapter);
  adapter.mutable_targets()->Add(from.targets.begin(), from.targets.end());
  TechniquesToProto(from.techniques, to);
  PUT(learning_rate, from, to);
  PUT(learning_rate_multiplier, from, to);
  PUT(warmup_steps, from, to);
  PUT(warmup_ratio, from, to);
  PUT(batch_size, from, to);
  PUT(epochs, from, to);
  PUT(max_steps, from, to);
  PUT(max_length, from, to);
  PUT(seed, from, to);
  PUT(checkpoint_every, from, to);
  PUT(eval_every, from, to);
  PUT(weight_decay, from, to);
  PUT(adam_beta1, from, to);
  PUT(adam_beta2, from, to);
  PUT(adam_epsilon, from, to);
  PUT(max_grad_norm, from, to);
  PUT(early_stop_patience, from, to);
  PUT(validation_fraction, from, to);
  PUT(max_rows, from, to);
  PUT(tokens_per_sequence, from, to);
  PUT(preference_beta, from, to);
  PUT(preference_label_smoothing, from, to);
  PUT(distil_weight, from, to);
  PUT(kl_weight, from, to);
  if (from.schedule) to.set_schedule(ToEnum<pb::TrainingSpec::Schedule>(Name(*from.schedule)));
  if (from.packing) to.set_packing(ToEnum<pb::TrainingSpec::Packing>(Name(*from.packing)));
  if (from.loss_on) to.set_loss_on(ToEnum<pb::TrainingSpec::LossOn>(Name(*from.loss_on)));
  if (from.compute_type) {
    to.set_compute_type(ToEnum<pb::TrainingSpec::ComputeType>(Name(*from.compute_type)));
  }
  to.set_suffix(from.suffix);
  to.set_template_date(from.template_date);
  to.set_initial_adapter(from.initial_adapter);
}

#undef GET
#undef PUT

SweepSpec GetSweep(const pb::SweepSpec& from) {
  SweepSpec to;
  for (const pb::SweepSpec::Axis& axis : from.axes()) {
    to.axes.push_back({axis.field(), {axis.values().begin(), axis.values().end()}});
  }
  to.max_trials = from.max_jobs();
  to.parallelism = from.parallelism();
  to.objective = FromEnum(from.objective(), &ParseObjective);
  if (from.has_median_stop()) to.median_stop = from.median_stop();
  return to;
}

void PutSweep(const SweepSpec& from, pb::SweepSpec& to) {
  for (const SweepAxis& axis : from.axes) {
    pb::SweepSpec::Axis& out = *to.add_axes();
    out.set_field(axis.field);
    out.mutable_values()->Add(axis.values.begin(), axis.values.end());
  }
  to.set_max_jobs(static_cast<int32_t>(from.max_trials));
  to.set_parallelism(static_cast<int32_t>(from.parallelism));
  if (from.objective) to.set_objective(ToEnum<pb::Job::Kind>(Name(*from.objective)));
  if (from.median_stop) to.set_median_stop(*from.median_stop);
}

void PutObjective(const ResolvedSpec& from, pb::TrainingSpec& to) {
  if (from.objective == Objective::kPreference) {
    to.set_preference_beta(from.preference_beta);
    to.set_preference_label_smoothing(from.preference_label_smoothing);
    return;
  }
  if (from.objective == Objective::kDistil) to.set_distil_weight(from.distil_weight);
  to.set_kl_weight(from.kl_weight);
}

void PutResolved(const ResolvedSpec& from, const Inputs& inputs, pb::TrainingSpec& to) {
  pb::AdapterSpec& adapter = *to.mutable_adapter();
  adapter.set_r(static_cast<int32_t>(from.rank));
  adapter.set_alpha(from.alpha);
  adapter.mutable_targets()->Add(from.targets.begin(), from.targets.end());
  TechniquesToProto(from.techniques, to);
  adapter.set_rank_stabilised(from.rank_stabilised);
  to.set_learning_rate(from.learning_rate);
  to.set_schedule(ToEnum<pb::TrainingSpec::Schedule>(Name(from.schedule)));
  to.set_warmup_steps(from.warmup_steps);
  to.set_batch_size(static_cast<int32_t>(from.batch_size));
  to.set_epochs(from.epochs);
  to.set_max_steps(from.max_steps);
  to.set_max_length(static_cast<int32_t>(from.max_length));
  to.set_seed(from.seed);
  to.set_packing(ToEnum<pb::TrainingSpec::Packing>(Name(from.packing)));
  to.set_checkpoint_every(from.checkpoint_every);
  to.set_eval_every(from.eval_every);
  to.set_suffix(from.suffix);
  to.set_template_date(from.template_date);
  if (from.loss_on) to.set_loss_on(ToEnum<pb::TrainingSpec::LossOn>(Name(*from.loss_on)));
  to.set_compute_type(ToEnum<pb::TrainingSpec::ComputeType>(Name(from.compute_type)));
  to.set_weight_decay(from.weight_decay);
  to.set_adam_beta1(from.adam_beta1);
  to.set_adam_beta2(from.adam_beta2);
  to.set_adam_epsilon(from.adam_epsilon);
  to.set_max_grad_norm(from.max_grad_norm);
  to.set_early_stop_patience(static_cast<int32_t>(from.early_stop_patience));
  to.set_validation_fraction(from.validation_fraction);
  to.set_max_rows(from.max_rows);
  to.set_tokens_per_sequence(static_cast<int32_t>(from.tokens_per_sequence));
  to.set_initial_adapter(from.initial_adapter);
  to.set_base_model_digest(inputs.base_digest);
  to.set_dataset_digest(inputs.dataset_digest);
  to.set_tokenizer_digest(from.tokenizer_digest);
  to.set_template_digest(from.template_digest);
  to.set_steps(from.steps);
  to.set_train_rows(from.train_rows);
  to.set_validation_rows(from.validation_rows);
  PutObjective(from, to);
}

}  // namespace

JobSpec SpecFromProto(const pb::JobSpec& spec) {
  JobSpec out;
  if (spec.has_training()) out.training = GetTraining(spec.training());
  if (spec.has_sweep()) {
    out.training = GetTraining(spec.sweep().base());
    out.sweep = GetSweep(spec.sweep());
  }
  if (spec.has_model_export()) {
    out.model_export = {spec.model_export().adapter(),
                        FromEnum(spec.model_export().format(), &ParseExportFormat)};
  }
  return out;
}

pb::JobSpec SpecToProto(JobKind kind, const JobSpec& spec) {
  pb::JobSpec out;
  if (kind == JobKind::kExport) {
    out.mutable_model_export()->set_adapter(spec.model_export.adapter);
    if (spec.model_export.format.has_value()) {
      out.mutable_model_export()->set_format(
          ToEnum<pb::ExportSpec::Format>(Name(*spec.model_export.format)));
    }
  } else if (kind == JobKind::kSweep) {
    PutTraining(spec.training, *out.mutable_sweep()->mutable_base());
    PutSweep(spec.sweep, *out.mutable_sweep());
  } else {
    PutTraining(spec.training, *out.mutable_training());
  }
  return out;
}

pb::JobSpec ResolvedToProto(const Job& job) {
  pb::JobSpec out;
  if (job.kind == JobKind::kExport) {
    pb::ExportSpec& to = *out.mutable_model_export();
    to.set_adapter(job.spec.model_export.adapter);
    to.set_format(ToEnum<pb::ExportSpec::Format>(Name(job.resolved.export_format)));
    to.set_adapter_digest(job.inputs.adapter_digest);
    to.set_base_model_digest(job.inputs.base_digest);
    to.set_template_date(job.resolved.template_date);
  } else if (job.kind == JobKind::kSweep) {
    pb::SweepSpec& to = *out.mutable_sweep();
    PutSweep(job.spec.sweep, to);
    PutResolved(job.resolved, job.inputs, *to.mutable_base());
    to.set_objective(ToEnum<pb::Job::Kind>(Name(job.resolved.objective)));
    to.set_median_stop(job.resolved.median_stop);
    for (const ResolvedTrial& trial : job.resolved.trials) {
      pb::SweepSpec::Trial& out_trial = *to.add_trials();
      out_trial.mutable_values()->insert(trial.values.begin(), trial.values.end());
      PutResolved(trial.spec, job.inputs, *out_trial.mutable_spec());
    }
  } else {
    PutResolved(job.resolved, job.inputs, *out.mutable_training());
  }
  return out;
}

}  // namespace crossover::scheduler
