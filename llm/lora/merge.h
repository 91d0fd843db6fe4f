// Merges an adapter into its base model: W' = W + scale B A, with DoRA each row scaled to its
// magnitude. No torch.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/gguf_export.h"
#include "llm/lora/adapter.h"
#include "llm/model/weight_source.h"

namespace crossover::llm {

// A base and its adapter, for exports that read one weight after the other. Immutable.
class MergedWeights {
 public:
  // `base` is the GGUF file or Hugging Face folder the adapter was trained on. Errors of
  // OpenWeights and ReadAdapter; InvalidArgument("ADAPTER_MISMATCH").
  static absl::StatusOr<std::unique_ptr<const MergedWeights>> Open(
      const std::filesystem::path& base, const std::filesystem::path& adapter_folder);

  const ModelConfig& config() const { return base_->config(); }
  // Keeps a reference to this. The product is computed in fp32 on the dequantised weights.
  WeightReader reader() const;

 private:
  MergedWeights(std::unique_ptr<WeightSource> base, LoraAdapter adapter);

  std::unique_ptr<WeightSource> base_;
  LoraAdapter adapter_;
  std::map<std::string, const LoraMatrix*> adapted_;  // By weight name; points into adapter_.
};

// Merged weights, rounded once to the types of options.type. Errors of MergedWeights::Open and
// ExportGguf.
absl::Status MergeToGguf(const std::filesystem::path& base_gguf,
                         const std::filesystem::path& adapter_folder,
                         const GgufExportOptions& options, const std::filesystem::path& out);

}  // namespace crossover::llm
