// Where a model's tensors are read from: a GGUF file or a Hugging Face folder. No torch.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "llm/formats/model_config.h"
#include "llm/model/tensor_rows.h"

namespace crossover::llm {

// Immutable and thread-safe.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual const ModelConfig& config() const = 0;

  // A tensor by its GGUF name, as rows of its last dimension; a vector that GGUF permutes is a
  // column. `heads` > 0: rows of that many heads, which GGUF files of some architectures
  // interleave. Errors name the file and the tensor.
  virtual absl::StatusOr<TensorRows> Rows(const std::string& gguf_name, int64_t heads) const = 0;
};

// A folder is taken for Hugging Face's. Errors of GgufFile::Open, ModelConfig and HfFolder::Open.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const std::string& path);

}  // namespace crossover::llm
