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

namespace crossover::llm {

// A base and its adapter, for exports that read one weight after the other. Immutable.
class MergedWeights {
 public:
  // `base_gguf` is the file the adapter was trained on. Errors of GgufFile, ModelConfig and
  // ReadAdapter; InvalidArgument("ADAPTER_MISMATCH").
  static absl::StatusOr<std::unique_ptr<const MergedWeights>> Open(
      const std::filesystem::path& base_gguf, const std::filesystem::path& adapter_folder);

  const GgufFile& base() const { return *base_; }
  const ModelConfig& config() const { return config_; }
  // Keeps a reference to this. The product is computed in fp32 on the dequantised weights.
  WeightReader reader() const;

 private:
  MergedWeights(std::shared_ptr<const GgufFile> base, ModelConfig config, LoraAdapter adapter);

  std::shared_ptr<const GgufFile> base_;
  ModelConfig config_;
  LoraAdapter adapter_;
  std::map<std::string, const LoraMatrix*> adapted_;  // By weight name; points into adapter_.
};

// Merged weights, rounded once to the types of options.type. Errors of MergedWeights::Open and
// ExportGguf.
absl::Status MergeToGguf(const std::filesystem::path& base_gguf,
                         const std::filesystem::path& adapter_folder,
                         const GgufExportOptions& options, const std::filesystem::path& out);

}  // namespace crossover::llm
