// Steps that other services do: curation runs and evaluation runs.
#pragma once

#include <grpcpp/channel.h>

#include <memory>

#include "crossover/curation/v1/curation_service.grpc.pb.h"
#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "crossover/evaluation/v1/suite_service.grpc.pb.h"
#include "services/training_scheduler/domain/step_service.h"

namespace crossover::scheduler {

// Thread-safe. A resource is the JSON form of curation.v1.CurationRun whose name is
// `projects/*/datasets/{dataset}/runs/-`; what it made is sealed, and the version's name is the
// output.
class CurationSteps final : public StepService {
 public:
  explicit CurationSteps(const std::shared_ptr<grpc::Channel>& curation);

  absl::Status Check(const std::string& project, const std::string& resource) override;
  absl::Status CheckNames(const std::string& project, const std::string& resource) override;
  absl::StatusOr<std::string> Create(const std::string& project, const std::string& resource,
                                     const std::string& request_id) override;
  absl::StatusOr<StepProgress> Look(const std::string& name) override;
  absl::Status Cancel(const std::string& name) override;
  absl::StatusOr<bool> GoOn(const std::string& name, const std::string& request_id) override;

 private:
  absl::StatusOr<std::string> Seal(const crossover::curation::v1::CurationRun& run);

  const std::unique_ptr<crossover::curation::v1::CurationService::Stub> runs_;
  const std::unique_ptr<crossover::curation::v1::DatasetService::Stub> datasets_;
};

// Thread-safe. A resource is the JSON form of evaluation.v1.Run; its name is the output.
class EvaluationSteps final : public StepService {
 public:
  explicit EvaluationSteps(const std::shared_ptr<grpc::Channel>& evaluation);

  absl::Status Check(const std::string& project, const std::string& resource) override;
  absl::Status CheckNames(const std::string& project, const std::string& resource) override;
  absl::StatusOr<std::string> Create(const std::string& project, const std::string& resource,
                                     const std::string& request_id) override;
  absl::StatusOr<StepProgress> Look(const std::string& name) override;
  absl::Status Cancel(const std::string& name) override;
  // False: a run that has ended does not go on.
  absl::StatusOr<bool> GoOn(const std::string& name, const std::string& request_id) override;

 private:
  const std::unique_ptr<crossover::evaluation::v1::EvaluationService::Stub> runs_;
  const std::unique_ptr<crossover::evaluation::v1::SuiteService::Stub> suites_;
};

}  // namespace crossover::scheduler
