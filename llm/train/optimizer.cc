#include "llm/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

constexpr int64_t kBlock = 1 << 16;

// Numbers that are worth a task of their own.
constexpr int64_t kTask = 1 << 12;

void AddRun(ParameterRun run, std::vector<ParameterRun>& runs) {
  if (run.size == 0) return;
  if (!runs.empty()) {
    ParameterRun& last = runs.back();
    if (last.offset + last.size == run.offset && last.rate == run.rate &&
        last.decays == run.decays) {
      last.size += run.size;
      return;
    }
  }
  runs.push_back(run);
}

}  // namespace

std::vector<ParameterRun> TrainedRuns(const LoraLayout& layout, double b_rate) {
  std::vector<ParameterRun> all;
  for (const LoraMatrix& matrix : layout.matrices()) {
    const int64_t rank = matrix.rank - matrix.frozen;
    all.push_back({matrix.a_offset, rank * matrix.in});
    for (int64_t row = 0; row < matrix.out; ++row)
      AddRun({matrix.b_offset + row * matrix.rank, rank, b_rate}, all);
    if (matrix.scaled()) all.push_back({matrix.m_offset, matrix.out, b_rate, false});
  }
  std::ranges::sort(all, {}, &ParameterRun::offset);
  std::vector<ParameterRun> runs;
  for (const ParameterRun& run : all) AddRun(run, runs);
  return runs;
}

AdamW::AdamW(AdamWOptions options, int64_t size, const std::vector<ParameterRun>& runs)
    : options_(options), m_(size, 0.0f), v_(size, 0.0f) {
  int64_t done = 0;
  for (const ParameterRun& run : runs) {
    if (run.offset > done) untrained_.push_back({done, run.offset - done});
    done = run.offset + run.size;
    for (int64_t first = run.offset; first < done; first += kBlock)
      pieces_.push_back({first, std::min(kBlock, done - first), run.rate, run.decays});
  }
  if (size > done) untrained_.push_back({done, size - done});
}

void AdamW::ClearUntrained(std::span<float> gradient) const {
  for (const ParameterRun& run : untrained_)
    std::fill_n(gradient.begin() + run.offset, run.size, 0.0f);
}

double AdamW::Norm(std::span<const float> gradient) {
  const int64_t n = static_cast<int64_t>(gradient.size());
  std::vector<double> partial((n + kBlock - 1) / kBlock);
  ParallelTasks(static_cast<int64_t>(partial.size()), [&](int64_t i) {
    partial[i] = Kernels().flat.sum_of_squares(gradient.data() + i * kBlock,
                                               std::min(kBlock, n - i * kBlock));
  });
  double sum = 0;
  for (const double block : partial) sum += block;
  return std::sqrt(sum);
}

void AdamW::Step(int64_t t, double learning_rate, double norm, std::span<const float> gradient,
                 std::span<float> parameters) {
  AdamStep common;
  // As torch.nn.utils.clip_grad_norm_.
  if (options_.max_norm > 0)
    common.gradient_scale = static_cast<float>(std::min(1.0, options_.max_norm / (norm + 1e-6)));
  common.beta1 = static_cast<float>(options_.beta1);
  common.beta2 = static_cast<float>(options_.beta2);
  common.epsilon = static_cast<float>(options_.epsilon);
  common.root_correction =
      static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(t))));
  const double correction = 1 - std::pow(options_.beta1, static_cast<double>(t));
  const auto update = [&](const ParameterRun& piece) {
    const double rate = learning_rate * piece.rate;
    AdamStep step = common;
    step.decay = piece.decays ? static_cast<float>(rate * options_.weight_decay) : 0.0f;
    step.step_size = static_cast<float>(rate / correction);
    Kernels().flat.adam(parameters.data() + piece.offset, m_.data() + piece.offset,
                        v_.data() + piece.offset, gradient.data() + piece.offset, piece.size, step);
  };
  const int64_t grain = pieces_.front().size >= kTask ? 1 : kTask / pieces_.front().size;
  ParallelRanges(static_cast<int64_t>(pieces_.size()), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) update(pieces_[i]);
  });
}

}  // namespace crossover::llm
