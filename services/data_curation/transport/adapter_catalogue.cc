#include "services/data_curation/transport/adapter_catalogue.h"

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::curation {

absl::StatusOr<std::vector<v1::ListAdaptersResponse::Adapter>> AdapterCatalogue::AdaptersOf(
    const std::string& project, const std::string& version_name) {
  namespace pb = ::crossover::scheduler::v1;
  if (scheduler_ == nullptr) {
    return Error(
        absl::StatusCode::kUnavailable, "no scheduler is configured, which knows the adapters",
        {.reason = "SERVICE_UNAVAILABLE", .metadata = {{"service", "training_scheduler"}}});
  }
  const std::unique_ptr<pb::ModelService::Stub> stub = pb::ModelService::NewStub(scheduler_);
  pb::ListModelVersionsRequest request;
  request.set_parent(absl::StrCat("projects/", project, "/models/-"));
  request.set_filter(absl::StrCat("dataset_version = \"", version_name, "\""));
  request.set_page_size(1000);
  std::vector<v1::ListAdaptersResponse::Adapter> adapters;
  do {
    ASSIGN_OR_RETURN(
        const pb::ListModelVersionsResponse response,
        (rpc::Invoke<pb::ModelService::Stub, pb::ListModelVersionsRequest,
                     pb::ListModelVersionsResponse>(
            *stub, &pb::ModelService::Stub::ListModelVersions, request, {.idempotent = true})));
    for (const pb::ModelVersion& version : response.model_versions()) {
      v1::ListAdaptersResponse::Adapter adapter;
      adapter.set_model_version(version.name());
      adapter.set_digest(version.digest());
      adapter.set_alias(version.alias());
      adapter.set_job(version.source_job());
      adapter.set_dataset_version(version_name);
      adapters.push_back(std::move(adapter));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return adapters;
}

}  // namespace crossover::curation
