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
  explicit TensorLogits(at::Tensor logits) : logits_(std::move(logits)) {}

  std::vector<float> Row(int64_t row) const override {
    const at::Tensor values = logits_[row].to(at::kFloat).contiguous();
    const float* data = values.const_data_ptr<float>();
    return {data, data + values.numel()};
  }

 private:
  const at::Tensor logits_;
};

}  // namespace

KvShape KvShapeOf(const BaseModel& base) {
  const ModelConfig& config = base.config();
  return {config.layers, config.kv_heads, config.head_dim,
          KvItemBytes(ScalarTypeOf(base.execution()))};
}

ModelRunner::ModelRunner(const BaseModel& base, const KvShape& kv)
    : base_(base), head_(base.weights().head), attention_(AttentionShapeOf(base.config()), kv) {
  for (const BlockWeights& block : base.weights().blocks) {
    blocks_.push_back({PackedLinear(block.qkv), PackedLinear(block.o), PackedLinear(block.gate_up),
                       PackedLinear(block.down)});
  }
}

at::Tensor ModelRunner::Linear(const PackedLinear& linear, const at::Tensor& x,
                               const StepInput& input, size_t layer, Group group) const {
  at::Tensor y = linear.Forward(x);
  for (const AdapterRows& rows : input.adapters) {
    if (rows.operands == nullptr) continue;
    const LowRank& low_rank = Part(rows.operands->blocks()[layer], group);
    if (!low_rank.defined()) continue;
    const at::Tensor t = at::mm(x.narrow(0, rows.begin, rows.end - rows.begin), low_rank.a.t());
    at::Tensor part = y.narrow(0, rows.begin, rows.end - rows.begin);
    part.addmm_(t, low_rank.b.t());
    if (low_rank.scales_columns())
      ScaleColumnsRows(part, low_rank.column_scale, low_rank.column_shift, part);
  }
  return y;
}

void ModelRunner::BindThread() { llm::BindThread(base_.execution()); }

void ModelRunner::ForEach(int64_t n, absl::FunctionRef<void(int64_t)> task) {
  ParallelTasks(n, task);
}

std::unique_ptr<StepLogits> ModelRunner::Run(const StepInput& input) {
  const c10::InferenceMode inference;
  return std::make_unique<TensorLogits>(Forward(input));
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
  if (input.logit_rows.empty()) return {};
  at::Tensor wanted =
      at::empty({static_cast<int64_t>(input.logit_rows.size()), config.hidden_size}, type);
  GatherRowsOf(h, input.logit_rows.data(), static_cast<int64_t>(input.logit_rows.size()), wanted);
  return head_.Forward(wanted);
}

}  // namespace crossover::llm
