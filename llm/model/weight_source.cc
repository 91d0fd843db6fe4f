#include "llm/model/weight_source.h"

#include <filesystem>
#include <unordered_map>
#include <utility>

#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/hf_folder.h"
#include "llm/formats/names.h"

namespace crossover::llm {

namespace {

class GgufSource final : public WeightSource {
 public:
  GgufSource(std::shared_ptr<const GgufFile> file, ModelConfig config)
      : file_(std::move(file)), config_(std::move(config)) {}

  const ModelConfig& config() const override { return config_; }

  absl::StatusOr<TensorRows> Rows(const std::string& gguf_name, int64_t heads) const override {
    ASSIGN_OR_RETURN(const GgufTensor* tensor, file_->Tensor(gguf_name));
    const bool column = heads > 0 && tensor->shape.size() == 1;
    const int64_t columns = column ? 1 : tensor->row_size();
    return TensorRows(tensor->type, tensor->data, tensor->values() / columns, columns,
                      heads > 0 ? config_.head_dim : 0, file_);
  }

 private:
  std::shared_ptr<const GgufFile> file_;
  ModelConfig config_;
};

// HfFolder::Weight gives no other type.
TensorType TypeOf(Dtype dtype) {
  if (dtype == Dtype::kF16) return TensorType::kF16;
  return dtype == Dtype::kBf16 ? TensorType::kBf16 : TensorType::kF32;
}

class HfSource final : public WeightSource {
 public:
  explicit HfSource(std::shared_ptr<const HfFolder> folder) : folder_(std::move(folder)) {
    for (WeightSpec& spec : WeightsOf(folder_->config())) {
      std::string name = spec.gguf_name;
      specs_.emplace(std::move(name), std::move(spec));
    }
  }

  const ModelConfig& config() const override { return folder_->config(); }

  absl::StatusOr<TensorRows> Rows(const std::string& gguf_name, int64_t) const override {
    const WeightSpec& spec = specs_.at(gguf_name);
    int64_t values = 1;
    for (const int64_t size : spec.shape) values *= size;
    const int64_t columns = spec.shape.back();
    ASSIGN_OR_RETURN(const HfFolder::Place place, folder_->Weight(spec));
    if (HasBitsandbytesState(*place.file, spec.hf_name)) {
      ASSIGN_OR_RETURN(Nf4Tensor tensor,
                       ReadBitsandbytesNf4(*place.file, spec.hf_name, spec.shape));
      tensor.owner = folder_;
      return TensorRows(std::move(tensor), values / columns, columns);
    }
    return TensorRows(TypeOf(place.tensor->dtype), place.tensor->data, values / columns, columns, 0,
                      folder_);
  }

 private:
  std::shared_ptr<const HfFolder> folder_;
  std::unordered_map<std::string, WeightSpec> specs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeights(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    ASSIGN_OR_RETURN(std::shared_ptr<const HfFolder> folder, HfFolder::Open(path));
    return std::make_unique<HfSource>(std::move(folder));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  ASSIGN_OR_RETURN(ModelConfig config, ModelConfig::FromGguf(*file));
  return std::make_unique<GgufSource>(std::move(file), std::move(config));
}

}  // namespace crossover::llm
