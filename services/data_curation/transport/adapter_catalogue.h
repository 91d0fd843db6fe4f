// Which adapters were trained on a version: asked of the scheduler's Model registry.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "crossover/curation/v1/dataset_service.pb.h"

namespace crossover::curation {

// Thread-safe.
class AdapterCatalogue {
 public:
  // `scheduler` may be null: then every answer is Unavailable SERVICE_UNAVAILABLE.
  explicit AdapterCatalogue(std::shared_ptr<grpc::Channel> scheduler)
      : scheduler_(std::move(scheduler)) {}

  absl::StatusOr<std::vector<v1::ListAdaptersResponse::Adapter>> AdaptersOf(
      const std::string& project, const std::string& version_name);

 private:
  std::shared_ptr<grpc::Channel> scheduler_;
};

}  // namespace crossover::curation
