// DatasetCatalog by curation.v1.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>

#include "crossover/curation/v1/dataset_service.grpc.pb.h"
#include "services/training_scheduler/domain/dataset_catalog.h"

namespace crossover::scheduler {

// Thread-safe.
class CurationCatalog final : public DatasetCatalog {
 public:
  explicit CurationCatalog(const std::shared_ptr<grpc::Channel>& channel);
  absl::StatusOr<DatasetFacts> Find(const std::string& name) override;

 private:
  std::unique_ptr<::crossover::curation::v1::DatasetService::Stub> stub_;
};

}  // namespace crossover::scheduler
