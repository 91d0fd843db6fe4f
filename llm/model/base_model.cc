#include "llm/model/base_model.h"

#include <c10/core/InferenceMode.h>

#include <exception>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/names.h"
#include "llm/model/exceptions.h"
#include "llm/model/memory.h"
#include "llm/model/weight_source.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// Calls visit(values, bytes) for every tensor and stored matrix.
void ForEachWeight(const ModelWeights& weights,
                   absl::FunctionRef<void(int64_t values, int64_t bytes)> visit) {
  const auto tensor = [&](const at::Tensor& t) {
    if (t.defined()) visit(t.numel(), static_cast<int64_t>(t.nbytes()));
  };
  const auto stored = [&](const std::shared_ptr<const StoredMatrix>& matrix) {
    if (matrix != nullptr) visit(matrix->rows() * matrix->columns(), matrix->bytes());
  };
  tensor(weights.embedding);
  stored(weights.stored_embedding);
  tensor(weights.final_norm);
  if (!weights.head.weight.is_same(weights.embedding)) tensor(weights.head.weight);
  if (weights.head.stored != weights.stored_embedding) stored(weights.head.stored);
  for (const BlockWeights& block : weights.blocks) {
    tensor(block.attention_norm);
    tensor(block.mlp_norm);
    tensor(block.head_norm.q);
    tensor(block.head_norm.k);
    for (const FrozenLinear* layer : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
      tensor(layer->weight);
      stored(layer->stored);
      tensor(layer->bias);
    }
  }
}

// Dense weights if they take at most half of what is free.
WeightStorage ChooseExecution(const ModelConfig& config, const Execution& execution) {
  if (execution.weights != WeightStorage::kAuto) return execution.weights;
  double values = 0;  // A file may name sizes whose product passes 64 bits.
  for (const WeightSpec& weight : WeightsOf(config)) {
    double product = 1;
    for (const int64_t size : weight.shape) product *= static_cast<double>(size);
    values += product;
  }
  const double bytes = values * (execution.bf16() ? 2 : 4);
  return bytes <= static_cast<double>(AvailableMemory()) / 2 ? WeightStorage::kDense
                                                             : WeightStorage::kStored;
}

}  // namespace

BaseModel::BaseModel(ModelConfig config, Execution execution, std::string path,
                     std::unique_ptr<ModelWeights> weights)
    : config_(std::move(config)),
      execution_(std::move(execution)),
      path_(std::move(path)),
      weights_(std::move(weights)) {}

BaseModel::~BaseModel() = default;

absl::StatusOr<std::shared_ptr<const BaseModel>> BaseModel::Load(const std::string& path,
                                                                 const ExecutionOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> source, OpenWeights(path));
  const ModelConfig& config = source->config();
  Execution execution = Resolve(options);
  execution.weights = ChooseExecution(config, execution);
  BindThread(execution);
  auto loaded = WithoutExceptions([&]() -> absl::StatusOr<std::shared_ptr<const BaseModel>> {
    const c10::InferenceMode inference;
    auto weights = std::make_unique<ModelWeights>(AllocateWeights(config, execution));
    RETURN_IF_ERROR(ReadWeights(*source, execution.weights, *weights));
    return std::shared_ptr<const BaseModel>(
        new BaseModel(config, execution, path, std::move(weights)));
  });
  if (!loaded.ok()) return WithContext(loaded.status(), path);
  return loaded;
}

std::shared_ptr<const BaseModel> BaseModel::Random(const ModelConfig& config,
                                                   const ExecutionOptions& options, uint64_t seed) {
  Execution execution = Resolve(options);
  execution.weights = WeightStorage::kDense;
  BindThread(execution);
  const c10::InferenceMode inference;
  auto weights = std::make_unique<ModelWeights>(AllocateWeights(config, execution));
  RandomizeWeights(seed, *weights);
  return std::shared_ptr<const BaseModel>(new BaseModel(config, execution, "", std::move(weights)));
}

int64_t BaseModel::parameters() const {
  int64_t sum = 0;
  ForEachWeight(*weights_, [&](int64_t values, int64_t) { sum += values; });
  return sum;
}

int64_t BaseModel::bytes() const {
  int64_t sum = 0;
  ForEachWeight(*weights_, [&](int64_t, int64_t bytes) { sum += bytes; });
  return sum;
}

}  // namespace crossover::llm
