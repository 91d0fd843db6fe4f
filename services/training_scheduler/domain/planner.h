// Checks a job and freezes its numbers: field ranges, base model, data set, resolved spec, inputs
// by digest, estimate.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/status/error.h"
#include "common/time/clock.h"
#include "services/training_scheduler/domain/adapter_form.h"
#include "services/training_scheduler/domain/dataset_catalog.h"
#include "services/training_scheduler/domain/forecaster.h"
#include "services/training_scheduler/domain/job_machine.h"
#include "services/training_scheduler/domain/job_store.h"
#include "services/training_scheduler/domain/model_store.h"

namespace crossover::scheduler {

struct Plan {
  Validated validated;  // meaningful without violations
  std::vector<FieldViolation> violations;
  std::string reason = "FIELD_INVALID";  // of the first violation
  std::vector<std::string> warnings;     // hints that stop nothing
};

// The violations as one INVALID_ARGUMENT whose message names the first and counts the others.
absl::Status ViolationsError(const Plan& plan);

// Thread-safe. Borrows everything.
class Planner {
 public:
  // `forecaster` may be null: then estimates rest on what is known without rows. `device_hour_usd`:
  // 0 = not known, and estimates have no cost. `forms` may be null: then adapters to go on from are
  // taken to have the form that the spec says.
  Planner(JobStore& jobs, ModelStore& models, DatasetCatalog& datasets, Clock& clock,
          Forecaster* forecaster = nullptr, double device_hour_usd = 0,
          AdapterForms* forms = nullptr)
      : jobs_(jobs),
        models_(models),
        datasets_(datasets),
        clock_(clock),
        forecaster_(forecaster),
        device_hour_usd_(device_hour_usd),
        forms_(forms) {}

  // Fields that are wrong are in the plan; a status is an error only when it cannot be said now
  // whether the job is valid (UNAVAILABLE) or its kind is not served (UNIMPLEMENTED).
  absl::StatusOr<Plan> Check(const Job& job);

 private:
  absl::Status CheckTraining(const Job& job, Plan& plan);
  // Measures the job's rows if that is possible; rows that cannot be trained on are violations.
  std::optional<TrainingForecast> ForecastFor(const Inputs& inputs, const BaseFacts& base,
                                              const ForecastWorkers& workers, ResolvedSpec& spec,
                                              Plan& plan);
  // Resolves the trials of a sweep; needs facts that are good.
  void ResolveSweep(const Job& job, const BaseFacts& base, const DatasetFacts& data,
                    const MeasuredRate& rate, const ForecastWorkers& workers, Plan& plan);
  // Sets what `facts`, whose base is known if it has a digest, say of the adapter to go on from.
  absl::Status CheckInitialAdapter(const Job& job, BaseFacts& facts, Plan& plan);
  absl::Status CheckInitialForm(const Job& job, BaseFacts& facts, Plan& plan);
  absl::Status CheckExport(const Job& job, Plan& plan);
  // The template date that the adapter was trained with; of a job that is not known any more, and
  // of an import, the default.
  absl::StatusOr<std::string> DateOf(const ModelVersion& adapter);
  // A job that no worker can hold would wait for ever.
  absl::Status CheckWorkers(const Job& job, Plan& plan);
  static void CheckTypes(const Job& job, const std::vector<WorkerRecord>& workers, Plan& plan);

  JobStore& jobs_;
  ModelStore& models_;
  DatasetCatalog& datasets_;
  Clock& clock_;
  Forecaster* const forecaster_;
  const double device_hour_usd_;
  AdapterForms* const forms_;
};

// Seconds, tokens and memory (each worker's) of a training job that `workers` share. Rests on its
// own rows if there is a forecast, which is for as many, and on jobs that ran on the same base if
// there are any; else on a rule of thumb, and `basis` says so.
Consumption EstimateTraining(const ResolvedSpec& spec, const BaseFacts& base,
                             const DatasetFacts& data, const MeasuredRate& rate,
                             const std::optional<TrainingForecast>& forecast, int32_t workers);

}  // namespace crossover::scheduler
