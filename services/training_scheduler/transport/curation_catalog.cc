#include "services/training_scheduler/transport/curation_catalog.h"

#include "common/rpc/channel.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {

namespace curation = ::crossover::curation::v1;

CurationCatalog::CurationCatalog(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(curation::DatasetService::NewStub(channel)) {}

absl::StatusOr<DatasetFacts> CurationCatalog::Find(const std::string& name) {
  curation::GetDatasetVersionRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(curation::DatasetVersion version,
                   rpc::Invoke(*stub_, &curation::DatasetService::Stub::GetDatasetVersion, request,
                               {.timeout = absl::Seconds(5), .idempotent = true}));
  if (version.artifact_digest().empty()) {
    return Error(absl::StatusCode::kNotFound, "DATASET_VERSION_UNKNOWN", name + " is not sealed");
  }
  DatasetFacts facts;
  facts.artifact_digest = version.artifact_digest();
  for (const auto& counts : version.counts()) {
    if (counts.split() == "train") {
      facts.train_rows = counts.rows();
      facts.content_bytes = counts.characters();
    } else if (counts.split() == "validation") {
      facts.validation_rows = counts.rows();
    } else if (counts.split() == "test") {
      facts.test_rows = counts.rows();
    }
  }
  return facts;
}

}  // namespace crossover::scheduler
