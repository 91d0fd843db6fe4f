#include "services/training_scheduler/transport/remote_steps.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/json/digest.h"
#include "common/list/resource_name.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/transport/step_resources.h"

namespace crossover::scheduler {
namespace {

namespace curation_pb = ::crossover::curation::v1;
namespace evaluation_pb = ::crossover::evaluation::v1;
using CurationStub = curation_pb::CurationService::Stub;
using EvaluationStub = evaluation_pb::EvaluationService::Stub;

// Every call of a step may be repeated.
constexpr absl::Duration kStepTimeout = absl::Seconds(20);
rpc::CallOptions StepCall() { return {.timeout = kStepTimeout, .idempotent = true}; }

// A UUID of version 8 made from the text.
std::string RequestIdOf(const std::string& text) {
  const Sha256Bytes hash = Sha256Of(text);
  Uuid uuid;
  std::copy_n(hash.begin(), uuid.bytes.size(), uuid.bytes.begin());
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x80);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid.ToUuid();
}

absl::StatusOr<std::string> DatasetOf(const std::string& run_name) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts,
                   list::ParseName(run_name, "projects/*/datasets/*/runs/*", "name"));
  return absl::StrCat("projects/", parts[0], "/datasets/", parts[1]);
}

}  // namespace

CurationSteps::CurationSteps(const std::shared_ptr<grpc::Channel>& curation)
    : runs_(curation_pb::CurationService::NewStub(curation)),
      datasets_(curation_pb::DatasetService::NewStub(curation)) {}

absl::Status CurationSteps::Check(const std::string& project, const std::string& resource) {
  curation_pb::CurationRun run;
  RETURN_IF_ERROR(ReadResource(resource, run));
  RETURN_IF_ERROR(DatasetOf(run.name()).status());
  return RequireOwnProject(project, run.name(), "name");
}

absl::Status CurationSteps::CheckNames(const std::string&, const std::string& resource) {
  if (HoldsReference(resource)) return absl::OkStatus();
  curation_pb::CreateCurationRunRequest request;
  RETURN_IF_ERROR(ReadResource(resource, *request.mutable_curation_run()));
  ASSIGN_OR_RETURN(*request.mutable_parent(), DatasetOf(request.curation_run().name()));
  request.mutable_curation_run()->clear_name();
  request.set_validate_only(true);
  return rpc::Invoke(*runs_, &CurationStub::CreateCurationRun, request, StepCall()).status();
}

absl::StatusOr<std::string> CurationSteps::Create(const std::string&, const std::string& resource,
                                                  const std::string& request_id) {
  curation_pb::CreateCurationRunRequest request;
  RETURN_IF_ERROR(ReadResource(resource, *request.mutable_curation_run()));
  ASSIGN_OR_RETURN(*request.mutable_parent(), DatasetOf(request.curation_run().name()));
  request.mutable_curation_run()->clear_name();
  request.set_request_id(request_id);
  ASSIGN_OR_RETURN(curation_pb::CurationRun run,
                   rpc::Invoke(*runs_, &CurationStub::CreateCurationRun, request, StepCall()));
  return run.name();
}

absl::StatusOr<std::string> CurationSteps::Seal(const curation_pb::CurationRun& run) {
  if (!run.dataset_version().empty()) return run.dataset_version();
  curation_pb::SealDatasetVersionRequest request;
  ASSIGN_OR_RETURN(*request.mutable_parent(), DatasetOf(run.name()));
  request.set_run(run.name());
  request.set_request_id(RequestIdOf(absl::StrCat("seal ", run.name())));
  ASSIGN_OR_RETURN(curation_pb::DatasetVersion version,
                   rpc::Invoke(*datasets_, &curation_pb::DatasetService::Stub::SealDatasetVersion,
                               request, {.timeout = absl::Minutes(2), .idempotent = true}));
  return version.name();
}

absl::StatusOr<StepProgress> CurationSteps::Look(const std::string& name) {
  curation_pb::GetCurationRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(curation_pb::CurationRun run,
                   rpc::Invoke(*runs_, &CurationStub::GetCurationRun, request, StepCall()));
  switch (run.state()) {
    case curation_pb::CurationRun::SUCCEEDED: {
      ASSIGN_OR_RETURN(std::string version, Seal(run));
      return StepProgress{PipelineState::kSucceeded, version};
    }
    case curation_pb::CurationRun::FAILED:
      return StepProgress{PipelineState::kFailed, run.state_reason()};
    case curation_pb::CurationRun::CANCELLED:
      return StepProgress{PipelineState::kCancelled, ""};
    case curation_pb::CurationRun::NEEDS_REVIEW:
      return StepProgress{PipelineState::kRunning, absl::StrCat(name, " needs review")};
    default:
      return StepProgress{};
  }
}

absl::Status CurationSteps::Cancel(const std::string& name) {
  curation_pb::CancelCurationRunRequest request;
  request.set_name(name);
  const absl::Status status =
      rpc::Invoke(*runs_, &CurationStub::CancelCurationRun, request, StepCall()).status();
  return HasReason(status, "STATE_INVALID") ? absl::OkStatus() : status;
}

absl::StatusOr<bool> CurationSteps::GoOn(const std::string& name, const std::string&) {
  curation_pb::ResumeCurationRunRequest request;
  request.set_name(name);
  RETURN_IF_ERROR(
      rpc::Invoke(*runs_, &CurationStub::ResumeCurationRun, request, StepCall()).status());
  return true;
}

EvaluationSteps::EvaluationSteps(const std::shared_ptr<grpc::Channel>& evaluation)
    : runs_(evaluation_pb::EvaluationService::NewStub(evaluation)),
      suites_(evaluation_pb::SuiteService::NewStub(evaluation)) {}

absl::Status EvaluationSteps::Check(const std::string& project, const std::string& resource) {
  evaluation_pb::Run run;
  RETURN_IF_ERROR(ReadResource(resource, run));
  return RequireOwnProject(project, run.suite_version(), "suite_version");
}

absl::Status EvaluationSteps::CheckNames(const std::string& project, const std::string& resource) {
  evaluation_pb::CreateRunRequest request;
  RETURN_IF_ERROR(ReadResource(resource, *request.mutable_run()));
  if (HoldsReference(request.run().suite_version())) return absl::OkStatus();
  // Of the systems, those that are known already.
  auto& systems = *request.mutable_run()->mutable_systems();
  systems.erase(std::remove_if(systems.begin(), systems.end(),
                               [](const type::v1::System& system) {
                                 return HoldsReference(system.SerializeAsString());
                               }),
                systems.end());
  if (systems.empty()) {
    evaluation_pb::GetSuiteVersionRequest suite;
    suite.set_name(request.run().suite_version());
    return rpc::Invoke(*suites_, &evaluation_pb::SuiteService::Stub::GetSuiteVersion, suite,
                       StepCall())
        .status();
  }
  request.set_parent(absl::StrCat("projects/", project));
  request.set_validate_only(true);
  return rpc::Invoke(*runs_, &EvaluationStub::CreateRun, request, StepCall()).status();
}

absl::StatusOr<std::string> EvaluationSteps::Create(const std::string& project,
                                                    const std::string& resource,
                                                    const std::string& request_id) {
  evaluation_pb::CreateRunRequest request;
  RETURN_IF_ERROR(ReadResource(resource, *request.mutable_run()));
  request.set_parent(absl::StrCat("projects/", project));
  request.set_request_id(request_id);
  ASSIGN_OR_RETURN(evaluation_pb::Run run,
                   rpc::Invoke(*runs_, &EvaluationStub::CreateRun, request, StepCall()));
  return run.name();
}

absl::StatusOr<StepProgress> EvaluationSteps::Look(const std::string& name) {
  evaluation_pb::GetRunRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(evaluation_pb::Run run,
                   rpc::Invoke(*runs_, &EvaluationStub::GetRun, request, StepCall()));
  switch (run.state()) {
    case evaluation_pb::Run::SUCCEEDED:
      return StepProgress{PipelineState::kSucceeded, run.name()};
    case evaluation_pb::Run::FAILED:
      return StepProgress{PipelineState::kFailed, run.state_reason()};
    case evaluation_pb::Run::CANCELLED:
      return StepProgress{PipelineState::kCancelled, ""};
    case evaluation_pb::Run::PAUSED:
      return StepProgress{PipelineState::kRunning,
                          absl::StrCat(name, " is paused: ", run.state_reason())};
    default:
      return StepProgress{};
  }
}

absl::Status EvaluationSteps::Cancel(const std::string& name) {
  evaluation_pb::CancelRunRequest request;
  request.set_name(name);
  const absl::Status status =
      rpc::Invoke(*runs_, &EvaluationStub::CancelRun, request, StepCall()).status();
  return HasReason(status, "STATE_INVALID") ? absl::OkStatus() : status;
}

absl::StatusOr<bool> EvaluationSteps::GoOn(const std::string&, const std::string&) { return false; }

}  // namespace crossover::scheduler
