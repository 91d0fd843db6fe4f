// What a model file is, read from its own metadata. The real one uses llm/formats; see
// transport-free room model_files.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

// Thread-safe.
class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  // Fills kind, architecture, parameters, bytes, hidden_size, context_length, tokenizer and
  // template digests. NOT_FOUND with the path; INVALID_ARGUMENT FORMAT_INVALID for wrong magic,
  // truncation, unknown tensor types.
  virtual absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) = 0;
};

// For tests: what is in the map is what a file says.
class FakeModelFiles final : public ModelFiles {
 public:
  absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) override {
    const auto found = files.find(path.string());
    if (found == files.end()) return absl::NotFoundError("no file " + path.string());
    return found->second;
  }
  std::map<std::string, ModelVersion> files;
};

}  // namespace crossover::scheduler
