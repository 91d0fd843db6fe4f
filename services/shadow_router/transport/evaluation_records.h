// Runs and comparisons over evaluation.v1.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "crossover/evaluation/v1/evaluation_service.grpc.pb.h"
#include "services/shadow_router/domain/evaluations.h"

namespace crossover::router {

// Thread-safe; blocks for at most two seconds a call.
class EvaluationRecords final : public Evaluations {
 public:
  explicit EvaluationRecords(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(evaluation::v1::EvaluationService::NewStub(channel)) {}

  absl::StatusOr<std::vector<std::string>> SystemsOf(const std::string& name) override;

 private:
  std::unique_ptr<evaluation::v1::EvaluationService::Stub> stub_;
};

}  // namespace crossover::router
