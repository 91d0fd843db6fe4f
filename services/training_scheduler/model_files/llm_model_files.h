// ModelFiles by the language-model library.
#pragma once

#include "services/training_scheduler/domain/model_files.h"

namespace crossover::scheduler {

// Thread-safe. Of weights reads the headers only; no bytes are hashed here.
class LlmModelFiles final : public ModelFiles {
 public:
  absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) override;
  absl::StatusOr<ModelFolder> InspectFolder(const std::filesystem::path& folder) override;
  absl::StatusOr<std::string> BaseOfAdapter(const std::filesystem::path& folder) override;
  absl::StatusOr<AdapterFolder> InspectAdapter(const std::filesystem::path& folder,
                                               const std::filesystem::path& base,
                                               const std::string& base_digest) override;
};

}  // namespace crossover::scheduler
