#include "services/training_scheduler/domain/planner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/able_workers.h"
#include "services/training_scheduler/domain/find_version.h"
#include "services/training_scheduler/domain/gang.h"
#include "services/training_scheduler/domain/initial_adapter.h"
#include "services/training_scheduler/domain/job_times.h"
#include "services/training_scheduler/domain/labels.h"
#include "services/training_scheduler/domain/names.h"
#include "services/training_scheduler/domain/price.h"
#include "services/training_scheduler/domain/sweep.h"

namespace crossover::scheduler {
namespace {

void Violate(Plan& plan, std::string field, std::string description,
             const std::string& reason = "FIELD_INVALID") {
  if (plan.violations.empty()) plan.reason = reason;
  plan.violations.push_back({std::move(field), std::move(description)});
}

bool IsAbsent(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kInvalidArgument;
}

// A job may use what is its own project's alone.
void CheckProject(const Job& job, const char* field, const std::string& name, Plan& plan) {
  if (IsOfProject(job.project, name)) return;
  Violate(plan, field,
          absl::StrCat("is '", name, "', which is of another project than projects/", job.project),
          "RESOURCE_FORBIDDEN");
}

void CheckCommon(const Job& job, absl::Time now, Plan& plan) {
  CheckProject(job, "task", job.task, plan);
  for (FieldViolation& violation : CheckTimes(job)) {
    Violate(plan, std::move(violation.field), std::move(violation.description));
  }
  if (job.deadline.has_value() && IsOfCalendar(*job.deadline) && *job.deadline <= now) {
    Violate(plan, "deadline",
            absl::StrCat("is ", absl::FormatTime(*job.deadline, absl::UTCTimeZone()),
                         ", which has passed"));
  }
  if (job.priority < -100 || job.priority > 100) {
    Violate(plan, "priority", absl::StrCat("is ", job.priority, "; must be between -100 and 100"));
  }
  if (job.max_failures < 1 || job.max_failures > 100) {
    Violate(plan, "max_failures",
            absl::StrCat("is ", job.max_failures, "; must be between 1 and 100, or 0 for 3"));
  }
  const Requirements& requirements = job.requirements;
  if (!requirements.device.empty() && requirements.device != "cpu" &&
      requirements.device != "cuda") {
    Violate(plan, "requirements.device",
            absl::StrCat("is '", requirements.device, "'; must be cpu or cuda, or absent for any"));
  }
  if (requirements.gang_size < 1 || requirements.gang_size > kLargestGang) {
    Violate(plan, "requirements.gang_size",
            absl::StrCat("is ", requirements.gang_size, "; must be between 1 and ", kLargestGang,
                         ", or 0 for 1"));
  }
  if (requirements.gang_size > 1 && (job.kind == JobKind::kExport || job.kind == JobKind::kSweep)) {
    Violate(plan, "requirements.gang_size",
            absl::StrCat("is ", requirements.gang_size, "; one worker runs a job of kind ",
                         ToAbsl(Name(job.kind)), ", several share SFT, PREFERENCE and DISTIL"));
  }
  if (requirements.memory_bytes < 0) {
    Violate(plan, "requirements.memory_bytes",
            absl::StrCat("is ", requirements.memory_bytes, "; must be at least 0"));
  }
  if (!IsSlug(job.queue)) {
    Violate(plan, "queue", absl::StrCat("is '", job.queue, "'; must be a lower-case name"));
  }
  for (FieldViolation& violation : CheckLabels("labels", job.labels)) {
    Violate(plan, std::move(violation.field), std::move(violation.description));
  }
}

// Workers beyond the first thousand are like some of these.
constexpr int64_t kMostWorkers = 1000;

constexpr char kInitialAdapter[] = "spec.training.initial_adapter";

double ToGib(int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

BaseFacts FactsOf(const ModelVersion& base) {
  return {.digest = base.digest,
          .architecture = base.architecture,
          .hidden_size = base.hidden_size,
          .context_length = base.context_length,
          .parameters = base.parameters,
          .tokenizer_digest = base.tokenizer_digest,
          .template_digest = base.template_digest};
}

void CheckRows(const DatasetFacts& data, Plan& plan) {
  if (data.train_rows == 0) {
    Violate(plan, "dataset_version",
            "has no rows in its train split; import rows and seal a new version", "TOO_FEW_ROWS");
  } else if (data.train_rows < kMinTrainRows) {
    Violate(
        plan, "dataset_version",
        absl::StrCat("has ", data.train_rows, " rows in its train split; training takes at least ",
                     kMinTrainRows, ", and 200 or more are advised"),
        "TOO_FEW_ROWS");
  } else if (data.train_rows < 50) {
    plan.warnings.push_back(
        absl::StrCat("only ", data.train_rows, " train rows: under 50 no training is advised"));
  } else if (data.train_rows < 200) {
    plan.warnings.push_back(
        absl::StrCat("only ", data.train_rows, " train rows: wait for 200 or more"));
  }
}

// What can be taken instead of a base model that is not there.
std::string KnownBases(const std::vector<Model>& bases) {
  if (bases.empty()) {
    return "no base model is here yet: import one with `crossover models import NAME --gguf FILE`, "
           "or start `crossover up` with --base-model or after ./dev setup";
  }
  const auto name = [](std::string* out, const Model& model) { out->append(model.model); };
  return absl::StrCat("known are: ", absl::StrJoin(bases, ", ", name),
                      " (others have to be imported first)");
}

}  // namespace

absl::Status ViolationsError(const Plan& plan) {
  if (plan.violations.empty()) return absl::OkStatus();
  std::string message = absl::StrCat(plan.violations[0].field, " ", plan.violations[0].description);
  if (plan.violations.size() > 1) {
    absl::StrAppend(&message, " (and ", plan.violations.size() - 1, " more fields)");
  }
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = plan.reason, .metadata = {}, .violations = plan.violations});
}

absl::Status Planner::CheckInitialAdapter(const Job& job, BaseFacts& facts, Plan& plan) {
  const std::string& digest = job.spec.training.initial_adapter;
  if (digest.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<MadeAdapter> adapter,
                   FindInitialAdapter(models_, jobs_, job.project, digest));
  if (!adapter.has_value()) {
    Violate(plan, kInitialAdapter,
            absl::StrCat("is '", digest, "', which is no adapter or checkpoint of projects/",
                         job.project),
            "MODEL_NOT_FOUND");
    return absl::OkStatus();
  }
  facts.initial_adapter = adapter->digest;
  if (facts.digest.empty()) return absl::OkStatus();
  if (adapter->base_digest != facts.digest) {
    Violate(plan, kInitialAdapter,
            absl::StrCat("is '", digest, "', an adapter of the base ", adapter->base_digest,
                         "; the job's base_model '", job.base_model, "' is ", facts.digest,
                         ". Train on the adapter's base, or go on from an adapter of this one"),
            "ADAPTER_BASE_MISMATCH");
    return absl::OkStatus();
  }
  return CheckInitialForm(job, facts, plan);
}

absl::Status Planner::CheckInitialForm(const Job& job, BaseFacts& facts, Plan& plan) {
  if (forms_ == nullptr) return absl::OkStatus();
  absl::StatusOr<AdapterForm> form = forms_->Read(facts.initial_adapter, facts.digest);
  if (absl::IsUnavailable(form.status())) return form.status();
  if (IsAbsent(form.status()) || absl::IsUnimplemented(form.status())) {
    Violate(plan, kInitialAdapter,
            absl::StrCat("is '", job.spec.training.initial_adapter,
                         "', which cannot be gone on from: ", form.status().message()),
            DetailOf(form.status()).reason);
  }
  if (!form.ok()) return absl::OkStatus();
  for (FieldViolation& violation : CheckForm(job.spec.training, *form))
    Violate(plan, std::move(violation.field), std::move(violation.description), "ADAPTER_MISMATCH");
  facts.initial_form = *std::move(form);
  return absl::OkStatus();
}

absl::Status Planner::CheckTraining(const Job& job, Plan& plan) {
  const Objective objective = ObjectiveOf(job.kind, job.spec);
  for (FieldViolation& violation : CheckRanges(job.spec.training, objective)) {
    Violate(plan, std::move(violation.field), std::move(violation.description));
  }
  absl::StatusOr<ModelVersion> base = FindVersion(models_, job.project, job.base_model);
  if (!base.ok() && !IsAbsent(base.status())) return base.status();
  if (!base.ok() || base->kind != ModelKind::kBase) {
    ASSIGN_OR_RETURN(std::vector<Model> known, models_.ListModels(job.project, "", 100));
    std::erase_if(known, [](const Model& model) { return model.kind != ModelKind::kBase; });
    Violate(plan, "base_model",
            absl::StrCat("is '", job.base_model, "', which is not a base model here; ",
                         KnownBases(known)),
            "BASE_MODEL_UNKNOWN");
  }
  BaseFacts facts;
  if (base.ok() && base->kind == ModelKind::kBase) facts = FactsOf(*base);
  RETURN_IF_ERROR(CheckInitialAdapter(job, facts, plan));
  CheckProject(job, "dataset_version", job.dataset_version, plan);
  if (!IsOfProject(job.project, job.dataset_version)) return absl::OkStatus();
  absl::StatusOr<DatasetFacts> data = datasets_.Find(job.dataset_version);
  if (!data.ok() && !IsAbsent(data.status())) {
    // What is wrong is wrong whatever the catalogue will say.
    return plan.violations.empty() ? data.status() : absl::OkStatus();
  }
  if (!data.ok()) {
    Violate(plan, "dataset_version",
            absl::StrCat("is '", job.dataset_version, "': ", data.status().message(),
                         "; seal a version and give its name"),
            "DATASET_VERSION_UNKNOWN");
  } else {
    CheckRows(*data, plan);
  }
  if (!plan.violations.empty()) return absl::OkStatus();

  if (facts.context_length > 0 && job.spec.training.max_length.value_or(0) > facts.context_length) {
    Violate(plan, "spec.training.max_length",
            absl::StrCat("is ", *job.spec.training.max_length, "; the model's context is ",
                         facts.context_length, " tokens"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(MeasuredRate rate, jobs_.Rate(facts.digest));
  plan.validated.resolved = Resolve(job.spec.training, facts, *data, objective);
  plan.validated.inputs = {facts.digest, data->artifact_digest, facts.initial_adapter,
                           base->architecture, base->licence};
  plan.validated.base_model = base->model;
  ASSIGN_OR_RETURN(std::vector<WorkerRecord> known, jobs_.Workers("", kMostWorkers));
  const ForecastWorkers workers = WorkersFor(job, std::move(known));
  const std::optional<TrainingForecast> forecast =
      ForecastFor(plan.validated.inputs, facts, workers, plan.validated.resolved, plan);
  plan.validated.estimate = EstimateTraining(plan.validated.resolved, facts, *data, rate, forecast,
                                             job.requirements.gang_size);
  if (job.kind == JobKind::kSweep) ResolveSweep(job, facts, *data, rate, workers, plan);
  return absl::OkStatus();
}

std::optional<TrainingForecast> Planner::ForecastFor(const Inputs& inputs, const BaseFacts& base,
                                                     const ForecastWorkers& workers,
                                                     ResolvedSpec& spec, Plan& plan) {
  if (forecaster_ == nullptr) return std::nullopt;
  const absl::StatusOr<TrainingForecast> forecast = forecaster_->Forecast(inputs, spec, workers);
  if (absl::IsInvalidArgument(forecast.status())) {
    ErrorDetail detail = DetailOf(forecast.status());
    if (detail.violations.empty()) {
      detail.violations.push_back(
          {"dataset_version",
           std::string(forecast.status().message().data(), forecast.status().message().size())});
    }
    for (FieldViolation& violation : detail.violations)
      Violate(plan, std::move(violation.field), std::move(violation.description), detail.reason);
  }
  if (!forecast.ok()) return std::nullopt;
  int64_t limit =
      base.context_length > 0 ? std::min(spec.max_length, base.context_length) : spec.max_length;
  if (forecast->row_limit > 0) limit = std::min(limit, forecast->row_limit);
  if (forecast->longest_row > limit) {
    Violate(plan, "dataset_version",
            absl::StrCat("has a row of ", forecast->longest_row, " tokens; at most ", limit,
                         " fit. Shorten it, or raise max_length up to the model's context"),
            "ROW_TOO_LONG");
  } else if (forecast->all_rows && !spec.sources["max_length"].given) {
    spec.max_length = std::max<int64_t>(16, forecast->longest_row);
    spec.sources["max_length"].rule = "the longest row";
  }
  return *forecast;
}

void Planner::ResolveSweep(const Job& job, const BaseFacts& base, const DatasetFacts& data,
                           const MeasuredRate& rate, const ForecastWorkers& workers, Plan& plan) {
  SweepGrid grid = GridOf(job.spec.training, job.spec.sweep);
  for (FieldViolation& violation : grid.violations) {
    Violate(plan, std::move(violation.field), std::move(violation.description));
  }
  ResolvedSpec& resolved = plan.validated.resolved;
  if (resolved.validation_rows == 0) {
    Violate(plan, "dataset_version",
            "has no validation rows, and validation_fraction is 0; a sweep compares its trials by "
            "their validation loss");
  }
  Consumption& sum = plan.validated.estimate;
  const std::string basis = sum.basis;
  sum = {.basis = absl::StrCat(basis, "; all ", grid.points.size(), " trials, none stopped early")};
  resolved.steps = 0;
  resolved.median_stop = job.spec.sweep.median_stop.value_or(true);
  for (size_t i = 0; i < grid.points.size(); ++i) {
    SweepPoint& point = grid.points[i];
    for (FieldViolation& violation : CheckRanges(point.spec, resolved.objective)) {
      Violate(plan, absl::StrCat("spec.sweep trial ", i + 1, ": ", violation.field),
              std::move(violation.description));
    }
    if (base.initial_form.has_value()) {
      for (FieldViolation& violation : CheckForm(point.spec, *base.initial_form)) {
        Violate(plan, absl::StrCat("spec.sweep trial ", i + 1, ": ", violation.field),
                std::move(violation.description), "ADAPTER_MISMATCH");
      }
    }
    if (!plan.violations.empty()) return;
    ResolvedSpec trial = Resolve(point.spec, base, data, resolved.objective);
    const std::optional<TrainingForecast> forecast =
        ForecastFor(plan.validated.inputs, base, workers, trial, plan);
    const Consumption estimate = EstimateTraining(trial, base, data, rate, forecast, 1);
    sum.seconds += estimate.seconds;
    sum.seconds_lower += estimate.seconds_lower;
    sum.seconds_upper += estimate.seconds_upper;
    sum.tokens += estimate.tokens;
    sum.work += estimate.work;
    sum.peak_memory_bytes = std::max(sum.peak_memory_bytes, estimate.peak_memory_bytes);
    resolved.steps += trial.steps;
    resolved.trials.push_back({std::move(point.values), std::move(trial)});
  }
}

absl::StatusOr<std::string> Planner::DateOf(const ModelVersion& adapter) {
  if (adapter.source_job.empty()) return std::string(kDefaultTemplateDate);
  absl::StatusOr<Job> made_by = jobs_.Get(adapter.source_job);
  if (absl::IsNotFound(made_by.status())) return std::string(kDefaultTemplateDate);
  RETURN_IF_ERROR(made_by.status());
  // An import or the PEFT copy of an adapter has the date of nobody.
  const std::string& date = made_by->resolved.template_date;
  return date.empty() ? std::string(kDefaultTemplateDate) : date;
}

absl::Status Planner::CheckExport(const Job& job, Plan& plan) {
  const ExportSpec& spec = job.spec.model_export;
  if (!spec.format.has_value()) {
    Violate(plan, "spec.model_export.format",
            absl::StrCat("is absent; one of ", ExportFormatNames()));
  }
  absl::StatusOr<ModelVersion> adapter = FindVersion(models_, job.project, spec.adapter);
  if (!adapter.ok() && !IsAbsent(adapter.status())) return adapter.status();
  if (!adapter.ok() || adapter->kind != ModelKind::kAdapter) {
    Violate(
        plan, "spec.model_export.adapter",
        absl::StrCat("is '", spec.adapter, "', which is not an adapter of this project; give a ",
                     "digest or the name of a ModelVersion of kind ADAPTER"),
        "MODEL_NOT_FOUND");
  }
  if (!plan.violations.empty()) return absl::OkStatus();
  plan.validated.resolved.export_format = *spec.format;
  plan.validated.resolved.steps = 1;
  plan.validated.inputs = {adapter->base_digest, "", adapter->digest, adapter->architecture,
                           adapter->licence};
  plan.validated.resolved.tokenizer_digest = adapter->tokenizer_digest;
  plan.validated.resolved.template_digest = adapter->template_digest;
  ASSIGN_OR_RETURN(plan.validated.resolved.template_date, DateOf(*adapter));
  plan.validated.base_model = adapter->model;
  plan.validated.estimate.basis = "one pass over the model's weights";
  return absl::OkStatus();
}

// `workers` can take the job but for that. Too few of them are told elsewhere.
void Planner::CheckTypes(const Job& job, const std::vector<WorkerRecord>& workers, Plan& plan) {
  const int32_t size = job.requirements.gang_size;
  const std::vector<WorkerRecord> alike = OfOneType(job, workers);
  if (std::ssize(workers) < size || std::ssize(alike) >= size) return;
  Violate(
      plan, "requirements.gang_size",
      absl::StrCat("is ", size, "; of the ", workers.size(),
                   " workers that train in gangs of that size, ", alike.size(),
                   " compute in one number type, and a gang computes in one. Ask for fewer, give "
                   "spec.training.compute_type FLOAT32 if all of them can compute in it, or start "
                   "them with the same --compute-type"),
      "NO_CAPABLE_WORKER");
}

absl::Status Planner::CheckWorkers(const Job& job, Plan& plan) {
  ASSIGN_OR_RETURN(std::vector<WorkerRecord> workers, jobs_.Workers("", kMostWorkers));
  std::erase_if(workers, [&](const WorkerRecord& worker) { return !MayServe(worker, job); });
  const int32_t size = job.requirements.gang_size;
  const auto able = std::count_if(workers.begin(), workers.end(), [&](const WorkerRecord& worker) {
    return worker.capabilities.gang >= size;
  });
  if (size > 1 && !workers.empty() && able < size) {
    Violate(
        plan, "requirements.gang_size",
        absl::StrCat("is ", size, "; of the ", workers.size(), " workers that could take the job, ",
                     able, " train in gangs of that size. Ask for fewer, or start such workers"),
        "NO_CAPABLE_WORKER");
  }
  if (size > 1) {
    std::erase_if(workers, [&](const WorkerRecord& w) { return w.capabilities.gang < size; });
    CheckTypes(job, workers, plan);
    workers = OfOneType(job, workers);
  }
  const bool asked = job.requirements.memory_bytes > 0;
  const int64_t needed =
      asked ? job.requirements.memory_bytes : plan.validated.estimate.peak_memory_bytes;
  if (needed <= 0) return absl::OkStatus();
  if (std::ssize(workers) < size) return absl::OkStatus();
  // Each of a gang holds the whole job: it is the last of the `size` largest that must do.
  const auto last = workers.begin() + (size - 1);
  std::nth_element(
      workers.begin(), last, workers.end(),
      [](const WorkerRecord& a, const WorkerRecord& b) { return MemoryOf(a) > MemoryOf(b); });
  if (needed <= MemoryOf(*last)) return absl::OkStatus();
  Violate(plan, "requirements.memory_bytes",
          absl::StrFormat("%s %d bytes (%.1f GiB); %s of the %d workers that could take "
                          "the job, %s, has %d (%.1f GiB). %s",
                          asked ? "is" : "is not given, and the job is estimated to need", needed,
                          ToGib(needed),
                          size == 1 ? std::string("the largest")
                                    : absl::StrCat("the smallest of the ", size, " largest"),
                          workers.size(), last->name, MemoryOf(*last), ToGib(MemoryOf(*last)),
                          asked ? "Ask for less, or start a larger worker"
                                : "Take a smaller max_length, batch_size or base, or start a "
                                  "larger worker"),
          "NO_CAPABLE_WORKER");
  return absl::OkStatus();
}

absl::StatusOr<Plan> Planner::Check(const Job& job) {
  Plan plan;
  CheckCommon(job, clock_.Now(), plan);
  if (job.kind == JobKind::kExport) {
    RETURN_IF_ERROR(CheckExport(job, plan));
  } else if (job.kind == JobKind::kScore) {
    return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
                 "jobs of kind SCORE are not served yet; SFT, PREFERENCE, DISTIL, SWEEP and EXPORT "
                 "are");
  } else {
    RETURN_IF_ERROR(CheckTraining(job, plan));
  }
  if (plan.violations.empty()) RETURN_IF_ERROR(CheckWorkers(job, plan));
  Consumption& estimate = plan.validated.estimate;
  estimate.cost_usd = CostOf(device_hour_usd_, estimate.seconds, job.requirements.gang_size);
  return plan;
}

}  // namespace crossover::scheduler
