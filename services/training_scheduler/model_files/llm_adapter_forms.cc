#include "services/training_scheduler/model_files/llm_adapter_forms.h"

#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/model_config.h"
#include "llm/lora/adapter.h"
#include "llm/tokenizer/base_metadata.h"

namespace crossover::scheduler {
namespace {

absl::StatusOr<llm::ModelConfig> ShapeOf(BlobStore& blobs, const std::string& base_digest) {
  ASSIGN_OR_RETURN(const std::filesystem::path base, blobs.LocalTree(base_digest));
  if (llm::IsHfFolder(base)) return llm::ModelConfig::FromHfFolder(base);
  ASSIGN_OR_RETURN(const std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(base));
  return llm::ModelConfig::FromGguf(*file);
}

// A job adapts the same targets in each of its layers.
absl::Status CheckRegular(const llm::LoraLayout& layout, size_t layers, size_t targets) {
  if (layout.matrices().size() == layers * targets) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH",
               absl::StrCat("it adapts ", layout.matrices().size(), " linear layers, not all of ",
                            targets, " kinds in each of ", layers,
                            " layers, and a job trains each kind in every layer"));
}

}  // namespace

absl::StatusOr<AdapterForm> LlmAdapterForms::Read(const std::string& adapter_digest,
                                                  const std::string& base_digest) {
  const absl::StatusOr<llm::ModelConfig> base = ShapeOf(blobs_, base_digest);
  if (!base.ok()) {
    // That is not the adapter's fault: nothing is known.
    if (absl::IsUnavailable(base.status())) return base.status();
    return Error(absl::StatusCode::kFailedPrecondition, DetailOf(base.status()).reason,
                 std::string(base.status().message().data(), base.status().message().size()));
  }
  ASSIGN_OR_RETURN(const std::filesystem::path folder, blobs_.LocalTree(adapter_digest));
  if (!std::filesystem::is_directory(folder)) {
    return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                 absl::StrCat("it is one file; an adapter is a folder with ",
                              llm::kAdapterConfigFile, " and ", llm::kAdapterTensorsFile));
  }
  ASSIGN_OR_RETURN(const llm::LoraAdapter adapter, llm::ReadAdapter(folder, *base));
  AdapterForm form{.rank = adapter.config.rank,
                   .alpha = adapter.config.alpha,
                   .rank_stabilised = adapter.config.rslora,
                   .dora = adapter.layout.scaled()};
  std::set<int32_t> layers;
  std::set<llm::Target> targets;  // in the order of llm::kAllTargets
  for (const llm::LoraMatrix& matrix : adapter.layout.matrices()) {
    layers.insert(static_cast<int32_t>(matrix.layer));
    targets.insert(matrix.target);
  }
  RETURN_IF_ERROR(CheckRegular(adapter.layout, layers.size(), targets.size()));
  for (const llm::Target target : targets) form.targets.emplace_back(llm::NameOf(target));
  form.layers.assign(layers.begin(), layers.end());
  form.all_layers = static_cast<int64_t>(layers.size()) == base->layers;
  form.rank_pattern.insert(adapter.config.rank_pattern.begin(), adapter.config.rank_pattern.end());
  form.alpha_pattern.insert(adapter.config.alpha_pattern.begin(),
                            adapter.config.alpha_pattern.end());
  return form;
}

}  // namespace crossover::scheduler
