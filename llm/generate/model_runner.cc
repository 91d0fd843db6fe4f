#include "llm/generate/model_runner.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>

#include <utility>

#include "llm/model/execution.h"
#include "llm/model/parallel.h"
#include "llm/model/rows.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

class TensorLogits final : public StepLogits {
 public:
  TensorLogits(at::Tensor logits, at::Tensor sums)
      : logits_(std::move(logits)), sums_(std::move(sums)) {}

  void Row(int64_t row, std::vector<float>& logits) const override {
    logits.resize(static_cast<size_t>(logits_.size(1)));
    at::from_blob(logits.data(), {logits_.size(1)}, at::kFloat).copy_(logits_[row]);
  }
  std::vector<float> HiddenSum(int64_t range) const override { return Numbers(sums_[range]); }

 private:
  static std::vector<float> Numbers(const at::Tensor& values) {
    const float* data = values.const_data_ptr<float>();
    return {data, data + values.numel()};
  }

  const at::Tensor logits_;
  const at::Tensor sums_;  // fp32
};

// Every token's logit comes from the head, and files keep it more exactly than the layers, too.
DecodeWeights ForHead(DecodeWeights weights) {
  return weights == DecodeWeights::kInt4 ? DecodeWeights::kInt8 : weights;
}

}  // namespace

KvShape KvShapeOf(const BaseModel& base) {
  const ModelConfig& config = base.config();
  return {config.layers, config.kv_heads, config.head_dim,
          KvItemBytes(ScalarTypeOf(base.execution()))};
}

ModelRunner::ModelRunner(const BaseModel& base, const KvShape& kv, DecodeWeights weights)
    : base_(base),
      head_(base.weights().head, ForHead(weights)),
      attention_(AttentionShapeOf(base.config()), kv) {
  for (const BlockWeights& block : base.weights().blocks) {
    blocks_.push_back({PackedLinear(block.qkv, weights), PackedLinear(block.o, weights),
                       PackedLinear(block.gate_up, weights), PackedLinear(block.down, weights)});
  }
}

at::Tensor ModelRunner::Linear(const PackedLinear& linear, const at::Tensor& x,
                               const StepInput& input, size_t layer, Group group) const {
  at::Tensor y = linear.Forward(x);
  AddAdapters(input.adapters, layer, group, x, y);
  return y;
}

void ModelRunner::BindThread() { llm::BindThread(base_.execution()); }

void ModelRunner::ForEach(int64_t n, absl::FunctionRef<void(int64_t)> task) {
  ParallelTasks(n, task);
}

std::unique_ptr<StepLogits> ModelRunner::Run(const StepInput& input) {
  const c10::InferenceMode inference;
  const at::Tensor hidden = Forward(input);
  return std::make_unique<TensorLogits>(Logits(hidden, input), Sums(hidden, input));
}

at::Tensor ModelRunner::Forward(const StepInput& input) {
  const ModelWeights& weights = base_.weights();
  const ModelConfig& config = base_.config();
  const AttentionShape shape = AttentionShapeOf(config);
  const int64_t rows = static_cast<int64_t>(input.ids.size());
  const double eps = config.rms_norm_eps;
  const at::TensorOptions type = weights.options();
  const AttentionPlan plan(shape, input.sequences, rows);

  at::Tensor none;
  at::Tensor x = at::empty({rows, config.hidden_size}, type);
  at::Tensor h = at::empty_like(x);
  at::Tensor rstd = at::empty({rows}, type.dtype(at::kFloat));
  at::Tensor attended = at::empty({rows, shape.out_width()}, type);
  at::Tensor act = at::empty({rows, config.intermediate_size}, type);
  EmbedTokens(weights, input.ids.data(), rows, x);
  RmsNormRows(x, weights.blocks[0].attention_norm, eps, h, rstd);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    at::Tensor qkv = Linear(blocks_[i].qkv, h, input, i, Group::kQkv);
    HeadNormRows(shape, weights.blocks[i].head_norm, eps, qkv, none, none);
    RopeRows(qkv, config.heads + config.kv_heads, input.positions, weights.rope, 1.0f);
    attention_.Run(plan, static_cast<int64_t>(i), qkv, attended);
    AddRmsNormRows(x, Linear(blocks_[i].o, attended, input, i, Group::kO),
                   weights.blocks[i].mlp_norm, eps, x, h, rstd);
    SiluMulRows(Linear(blocks_[i].gate_up, h, input, i, Group::kGateUp), act);
    const bool last = i + 1 == blocks_.size();
    AddRmsNormRows(x, Linear(blocks_[i].down, act, input, i, Group::kDown),
                   last ? weights.final_norm : weights.blocks[i + 1].attention_norm, eps, x, h,
                   rstd);
  }
  for (const StepSequence& sequence : input.sequences) sequence.tail->computed += sequence.count;
  return h;
}

at::Tensor ModelRunner::Logits(const at::Tensor& hidden, const StepInput& input) const {
  const int64_t rows = static_cast<int64_t>(input.logit_rows.size());
  if (rows == 0) return {};
  at::Tensor wanted = at::empty({rows, hidden.size(1)}, hidden.options());
  GatherRowsOf(hidden, input.logit_rows.data(), rows, wanted);
  return head_.Forward(wanted);
}

at::Tensor ModelRunner::Sums(const at::Tensor& hidden, const StepInput& input) {
  std::vector<at::Tensor> sums;
  for (const RowRange& range : input.pooled)
    sums.push_back(hidden.narrow(0, range.begin, range.end - range.begin).to(at::kFloat).sum(0));
  return sums.empty() ? at::Tensor() : at::stack(sums);
}

}  // namespace crossover::llm
