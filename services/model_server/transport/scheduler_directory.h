// The scheduler's Model registry as a directory.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "common/time/clock.h"
#include "services/model_server/domain/model_directory.h"

namespace crossover::inference {

// Thread-safe.
std::unique_ptr<ModelDirectory> NewSchedulerDirectory(std::shared_ptr<grpc::Channel> channel,
                                                      std::string project);

}  // namespace crossover::inference
