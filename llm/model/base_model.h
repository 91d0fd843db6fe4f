// A frozen decoder (architecture llama, qwen2 or qwen3) in memory, shared by training and
// generation.
//
// Torch-free on the outside. Immutable after Load(), so any number of threads, engines and trainers
// may share one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "llm/formats/model_config.h"
#include "llm/model/execution.h"

namespace crossover::llm {

struct ModelWeights;  // llm/model/weights.h, for the rooms that see torch.

class BaseModel {
 public:
  // Reads a GGUF file, or a Hugging Face folder (config.json and safetensors, also with
  // bitsandbytes' NF4). Dense weights take about a second per 100 M parameters; stored ones none,
  // but the file must then stay as it is while the model lives. NotFound, InvalidArgument or
  // DataLoss name the file and tensor.
  static absl::StatusOr<std::shared_ptr<const BaseModel>> Load(const std::string& path,
                                                               const ExecutionOptions& options);

  // For tests: small random dense weights drawn from `seed`.
  static std::shared_ptr<const BaseModel> Random(const ModelConfig& config,
                                                 const ExecutionOptions& options, uint64_t seed);

  ~BaseModel();

  const ModelConfig& config() const { return config_; }
  const Execution& execution() const { return execution_; }
  const std::string& path() const {
    return path_;
  }  // Of the file or folder; empty for a random model.
  int64_t parameters() const;
  int64_t bytes() const;

  const ModelWeights& weights() const { return *weights_; }

 private:
  BaseModel(ModelConfig config, Execution execution, std::string path,
            std::unique_ptr<ModelWeights> weights);

  ModelConfig config_;
  Execution execution_;
  std::string path_;
  std::unique_ptr<ModelWeights> weights_;
};

}  // namespace crossover::llm
