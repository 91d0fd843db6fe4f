// The base model that a fresh platform has.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/log/logger.h"

namespace crossover::platform {

inline constexpr char kBundledModel[] = "smollm2-135m-instruct";

// Where ./dev setup unpacked its packages: CROSSOVER_WHEELS, else the cache folder.
std::filesystem::path WheelsFolder();

// The GGUF file that ./dev setup unpacked, or an empty path.
std::filesystem::path BundledModelFile();

// Imports `file`, a GGUF file or a Hugging Face folder, as base kBundledModel of projects/default
// unless it is there already. FILE_NOT_FOUND names the file.
absl::Status ImportBaseModel(const std::shared_ptr<grpc::Channel>& scheduler,
                             const std::filesystem::path& file, Logger& logger);

// Ends the leases of a worker process that has died, so that its job goes on at once instead of
// after the lease's time.
absl::Status ReportWorkerCrash(const std::shared_ptr<grpc::Channel>& scheduler,
                               const std::string& worker, const std::string& incarnation,
                               const std::string& message);

}  // namespace crossover::platform
