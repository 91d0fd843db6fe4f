// The base model that a fresh platform has.
#pragma once

#include <grpcpp/channel.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/log/logger.h"

namespace crossover::platform {

// Name and licence of the model that ./dev setup unpacks.
inline constexpr char kBundledModel[] = "smollm2-135m-instruct";
inline constexpr char kBundledLicence[] = "Apache-2.0";

// Where ./dev setup unpacked its packages: CROSSOVER_WHEELS, else the cache folder.
std::filesystem::path WheelsFolder();

// The GGUF file that ./dev setup unpacked, or an empty path.
std::filesystem::path BundledModelFile();

// The slug that a GGUF file or a model's folder gives its base: "Qwen2.5-0.5B.Q4_1.gguf" is
// qwen2-5-0-5b-q4-1.
std::string BaseModelSlug(const std::filesystem::path& file);

struct BaseModelFiles {
  std::filesystem::path given;    // --base-model: a GGUF file or a Hugging Face folder; "" = none
  std::filesystem::path bundled;  // "" = there is none
};

// Imports the given file, else the bundled one, as a base of projects/default unless that has a
// base already: the bundled one as kBundledModel, another by its BaseModelSlug and without a
// licence. Returns what people should be told about it: that the given file is ignored and why, or
// that there is no base and how to get one; "" = nothing. FILE_NOT_FOUND names the given file.
absl::StatusOr<std::string> ImportBaseModel(const std::shared_ptr<grpc::Channel>& scheduler,
                                            const BaseModelFiles& files, Logger& logger);

// Ends the leases of a worker process that has died, so that its job goes on at once instead of
// after the lease's time.
absl::Status ReportWorkerCrash(const std::shared_ptr<grpc::Channel>& scheduler,
                               const std::string& worker, const std::string& incarnation,
                               const std::string& message);

}  // namespace crossover::platform
