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
void ScatterAdd(std::span<const LossEntry> entries, const at::Tensor& d_rows,
                at::Tensor& d_hidden) {
  const int64_t dim = d_hidden.size(1);
  for (size_t i = 0; i < entries.size(); ++i) {
    RowKernelsOf<T>().add(Data<T>(d_hidden) + entries[i].token * dim,
                          Data<T>(d_rows) + static_cast<int64_t>(i) * dim, dim);
  }
}

void GatherTokens(std::span<const LossEntry> chunk, const at::Tensor& hidden, at::Tensor& rows) {
  std::vector<int32_t> tokens;
  tokens.reserve(chunk.size());
  for (const LossEntry& entry : chunk) tokens.push_back(entry.token);
  GatherRowsOf(hidden, tokens.data(), static_cast<int64_t>(tokens.size()), rows);
}

}  // namespace

void LossResult::Add(const LossResult& other) {
  weighted_loss += other.weighted_loss;
  weight += other.weight;
  tokens += other.tokens;
  correct += other.correct;
  if (bad_row < 0) bad_row = other.bad_row;
  margin += other.margin;
  ordered += other.ordered;
  kl_to_base += other.kl_to_base;
  teacher_kl += other.teacher_kl;
  teacher_weight += other.teacher_weight;
}

ObjectiveReport LossResult::Report() const {
  if (weight == 0) return {};
  return {margin / weight, ordered / weight, kl_to_base / weight,
          teacher_weight == 0 ? 0 : teacher_kl / teacher_weight};
}

LossResult LossHead::Evaluate(const std::vector<LossEntry>& entries, const at::Tensor& hidden) {
  return Run(entries, hidden, 0, nullptr, nullptr);
}

TokenLosses LossHead::Losses(const std::vector<LossEntry>& entries, const at::Tensor& hidden) {
  TokenLosses losses;
  Run(entries, hidden, 0, nullptr, &losses);
  return losses;
}

LossResult LossHead::Gradient(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                              double factor, at::Tensor& d_hidden) {
  return Run(entries, hidden, factor, &d_hidden, nullptr);
}

at::Tensor LossHead::Logits(std::span<const LossEntry> chunk, const at::Tensor& hidden) const {
  const int64_t count = static_cast<int64_t>(chunk.size());
  at::Tensor rows = at::empty({count, head_.in()}, hidden.options());
  at::Tensor logits = at::empty({count, head_.out()}, hidden.options());
  GatherTokens(chunk, hidden, rows);
  head_.Forward(rows, logits);
  return logits;
}

void LossHead::ForEachChunk(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                            int64_t rows, const Turn& turn, at::Tensor* d_hidden) {
  if (d_hidden != nullptr) d_hidden->zero_();
  if (!logits_.defined() || logits_.size(0) < rows) {
    logits_ = at::empty({rows, head_.out()}, hidden.options());
    rows_ = at::empty({rows, head_.in()}, hidden.options());
    d_rows_ = at::empty({rows, head_.in()}, hidden.options());
  }
  for (size_t first = 0; first < entries.size(); first += static_cast<size_t>(rows)) {
    const auto chunk =
        std::span(entries).subspan(first, std::min<size_t>(rows, entries.size() - first));
    const int64_t count = static_cast<int64_t>(chunk.size());
    at::Tensor gathered = rows_.narrow(0, 0, count), logits = logits_.narrow(0, 0, count);
    GatherTokens(chunk, hidden, gathered);
    head_.Forward(gathered, logits);
    turn(chunk, logits);
    if (d_hidden == nullptr) continue;
    at::Tensor d_rows = d_rows_.narrow(0, 0, count);
    head_.BackwardInput(logits, d_rows);
    if (d_hidden->scalar_type() == at::kFloat) {
      ScatterAdd<float>(chunk, d_rows, *d_hidden);
    } else {
      ScatterAdd<Bf16Bits>(chunk, d_rows, *d_hidden);
    }
  }
}

LossResult LossHead::Run(const std::vector<LossEntry>& entries, const at::Tensor& hidden,
                         double factor, at::Tensor* d_hidden, TokenLosses* losses) {
  LossResult result;
  const Turn turn = [&](std::span<const LossEntry> chunk, at::Tensor& logits) {
    int32_t targets[kChunk] = {};
    float weights[kChunk] = {}, loss[kChunk] = {};
    uint8_t correct[kChunk] = {};
    for (size_t i = 0; i < chunk.size(); ++i) {
      targets[i] = chunk[i].target;
      weights[i] = static_cast<float>(chunk[i].weight * factor);
    }
    CrossEntropyRows(logits, targets, d_hidden == nullptr ? nullptr : weights, loss, correct);
    for (size_t i = 0; i < chunk.size(); ++i) {
      result.weighted_loss += static_cast<double>(chunk[i].weight) * loss[i];
      result.weight += chunk[i].weight;
      result.correct += correct[i];
      if (!std::isfinite(loss[i]) && result.bad_row < 0) result.bad_row = chunk[i].row;
    }
    result.tokens += static_cast<int64_t>(chunk.size());
    if (losses == nullptr) return;
    losses->loss.insert(losses->loss.end(), loss, loss + chunk.size());
    losses->correct.insert(losses->correct.end(), correct, correct + chunk.size());
  };
  ForEachChunk(entries, hidden, kChunk, turn, d_hidden);
  return result;
}

}  // namespace crossover::llm
