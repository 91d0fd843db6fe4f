// The gRPC services of evaluation.v1. They translate; the domain decides.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>
#include <vector>

#include "services/evaluation/transport/context.h"
#include "services/evaluation/transport/run_watcher.h"

namespace crossover::evaluation {

std::unique_ptr<grpc::Service> NewSuiteService(const ServiceContext& context);
// Borrows the watcher.
std::unique_ptr<grpc::Service> NewEvaluationService(const ServiceContext& context,
                                                    RunWatcher& watcher);
std::unique_ptr<grpc::Service> NewLadderService(const ServiceContext& context);
std::unique_ptr<grpc::Service> NewDecisionService(const ServiceContext& context);

}  // namespace crossover::evaluation
