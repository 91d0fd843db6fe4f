#include "llm/train/loss.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>

#include "llm/model/kernels.h"
#include "llm/model/rows.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

constexpr int64_t kChunk = 256;

// d_hidden[token] += d_rows, in order: entries of one token (a shared prefix's last) are added up.
template <typename T>
void ScatterAdd(const LossEntry* entries, int64_t count, const at::Tensor& d_rows,
                at::Tensor& d_hidden) {
  const int64_t dim = d_hidden.size(1);
  for (int64_t i = 0; i < count; ++i) {
    RowKernelsOf<T>().add(Data<T>(d_hidden) + entries[i].token * dim, Data<T>(d_rows) + i * dim,
                          dim);
  }
}

}  // namespace

LossResult LossHead::Evaluate(const std::vector<LossEntry>& entries, const at::Tensor& hidden) {
  return Run(entries, hidden, 0, nullptr);
}

LossResult LossHead::Gradient(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                              double factor, at::Tensor& d_hidden) {
  d_hidden.zero_();
  return Run(entries, hidden, factor, &d_hidden);
}

LossResult LossHead::Run(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                         double factor, at::Tensor* d_hidden) {
  if (!logits_.defined()) {
    logits_ = at::empty({kChunk, head_.out()}, hidden.options());
    rows_ = at::empty({kChunk, head_.in()}, hidden.options());
    d_rows_ = at::empty({kChunk, head_.in()}, hidden.options());
  }
  LossResult result;
  int32_t tokens[kChunk], targets[kChunk];
  float weights[kChunk], losses[kChunk];
  uint8_t correct[kChunk];
  for (size_t first = 0; first < entries.size(); first += kChunk) {
    const int64_t count = std::min<int64_t>(kChunk, static_cast<int64_t>(entries.size() - first));
    const LossEntry* chunk = entries.data() + first;
    for (int64_t i = 0; i < count; ++i) {
      tokens[i] = chunk[i].token;
      targets[i] = chunk[i].target;
      weights[i] = static_cast<float>(chunk[i].weight * factor);
    }
    at::Tensor rows = rows_.narrow(0, 0, count), logits = logits_.narrow(0, 0, count);
    GatherRowsOf(hidden, tokens, count, rows);
    head_.Forward(rows, logits);
    CrossEntropyRows(logits, targets, d_hidden == nullptr ? nullptr : weights, losses, correct);
    for (int64_t i = 0; i < count; ++i) {
      result.weighted_loss += static_cast<double>(chunk[i].weight) * losses[i];
      result.weight += chunk[i].weight;
      result.correct += correct[i];
      if (!std::isfinite(losses[i]) && result.bad_row < 0) result.bad_row = chunk[i].row;
    }
    result.tokens += count;
    if (d_hidden == nullptr) continue;
    at::Tensor d_rows = d_rows_.narrow(0, 0, count);
    head_.BackwardInput(logits, d_rows);
    if (d_hidden->scalar_type() == at::kFloat) {
      ScatterAdd<float>(chunk, count, d_rows, *d_hidden);
    } else {
      ScatterAdd<Bf16Bits>(chunk, count, d_rows, *d_hidden);
    }
  }
  return result;
}

}  // namespace crossover::llm
