#include "bench/train/gemm.h"

#include <ATen/Functions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// x W^T with the weight in oneDNN's layout for `rows` rows (torch/csrc,
// ATen/native/mkldnn/Linear.cpp).
class BestProduct {
 public:
  BestProduct(const at::Tensor& weight, int64_t rows) : weight_(weight) {
    if (weight.scalar_type() != at::kBFloat16) return;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                               .typed<at::Tensor(const at::Tensor&, std::optional<int64_t>)>();
    packed_ = op.call(weight, rows);
  }

  at::Tensor Of(const at::Tensor& x) const {
    if (!packed_.defined()) return at::mm(x, weight_.t());
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                               .typed<at::Tensor(const at::Tensor&, const at::Tensor&,
                                                 const std::optional<at::Tensor>&, std::string_view,
                                                 c10::List<std::optional<at::Scalar>>,
                                                 std::optional<std::string_view>)>();
    return op.call(x, packed_, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
  }

 private:
  at::Tensor weight_, packed_;
};

}  // namespace

int64_t BlockParameters(const BaseModel& base) {
  int64_t sum = 0;
  for (const BlockWeights& block : base.weights().blocks) {
    for (const FrozenLinear* linear : {&block.qkv, &block.o, &block.gate_up, &block.down})
      sum += linear->out() * linear->in();
  }
  return sum;
}

double GemmFlops(const BaseModel& base, int64_t tokens) {
  BindThread(base.execution());
  const c10::InferenceMode inference;
  std::vector<BestProduct> products;
  std::vector<at::Tensor> inputs;
  for (const BlockWeights& block : base.weights().blocks) {
    for (const FrozenLinear* linear : {&block.qkv, &block.o, &block.gate_up, &block.down}) {
      const at::Tensor weight = linear->Dense();
      for (const at::Tensor& w : {weight, weight.t().contiguous()}) {
        products.emplace_back(w, tokens);
        inputs.push_back(at::ones({tokens, w.size(1)}, base.weights().options()));
      }
    }
  }
  const double operations =
      4.0 * static_cast<double>(BlockParameters(base)) * static_cast<double>(tokens);
  double best = 0;
  for (int round = 0; round < 3; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < products.size(); ++i) products[i].Of(inputs[i]);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::max(best, operations / took.count());
  }
  return best;
}

}  // namespace crossover::llm
