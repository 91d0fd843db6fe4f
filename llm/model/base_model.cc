#include "llm/model/base_model.h"

#include <c10/core/InferenceMode.h>

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

template <typename Visit>
void ForEachTensor(const ModelWeights& weights, const Visit& visit) {
  visit(weights.embedding);
  visit(weights.final_norm);
  if (!weights.head.weight.is_same(weights.embedding)) visit(weights.head.weight);
  for (const BlockWeights& block : weights.blocks) {
    visit(block.attention_norm);
    visit(block.mlp_norm);
    if (block.head_norm.defined()) {
      visit(block.head_norm.q);
      visit(block.head_norm.k);
    }
    for (const FrozenLinear* layer : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
      visit(layer->weight);
      if (layer->bias.defined()) visit(layer->bias);
    }
  }
}

}  // namespace

BaseModel::BaseModel(ModelConfig config, Execution execution, std::string path,
                     std::unique_ptr<ModelWeights> weights)
    : config_(std::move(config)),
      execution_(std::move(execution)),
      path_(std::move(path)),
      weights_(std::move(weights)) {}

BaseModel::~BaseModel() = default;

absl::StatusOr<std::shared_ptr<const BaseModel>> BaseModel::Load(const std::string& gguf_path,
                                                                 const ExecutionOptions& options) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(gguf_path));
  ASSIGN_OR_RETURN(ModelConfig config, ModelConfig::FromGguf(*file));
  const Execution execution = Resolve(options);
  BindThread(execution);
  try {
    const c10::InferenceMode inference;
    auto weights = std::make_unique<ModelWeights>(AllocateWeights(config, execution));
    RETURN_IF_ERROR(ReadWeights(*file, config, *weights));
    return std::shared_ptr<const BaseModel>(
        new BaseModel(std::move(config), execution, gguf_path, std::move(weights)));
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kResourceExhausted, "MODEL_LOAD_FAILED",
                 absl::StrCat(gguf_path, " could not be brought into memory: ", e.what()));
  }
}

std::shared_ptr<const BaseModel> BaseModel::Random(const ModelConfig& config,
                                                   const ExecutionOptions& options, uint64_t seed) {
  const Execution execution = Resolve(options);
  BindThread(execution);
  const c10::InferenceMode inference;
  auto weights = std::make_unique<ModelWeights>(AllocateWeights(config, execution));
  RandomizeWeights(seed, *weights);
  return std::shared_ptr<const BaseModel>(new BaseModel(config, execution, "", std::move(weights)));
}

int64_t BaseModel::parameters() const {
  int64_t sum = 0;
  ForEachTensor(*weights_, [&](const at::Tensor& tensor) { sum += tensor.numel(); });
  return sum;
}

int64_t BaseModel::bytes() const {
  int64_t sum = 0;
  ForEachTensor(*weights_,
                [&](const at::Tensor& tensor) { sum += static_cast<int64_t>(tensor.nbytes()); });
  return sum;
}

}  // namespace crossover::llm
