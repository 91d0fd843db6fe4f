// ModelFiles for GGUF.
#pragma once

#include "services/training_scheduler/domain/model_files.h"

namespace crossover::scheduler {

// Thread-safe. Reads the header only; the file's bytes are not hashed here.
class GgufModelFiles final : public ModelFiles {
 public:
  absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) override;
};

}  // namespace crossover::scheduler
