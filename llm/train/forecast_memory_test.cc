#include "llm/train/forecast_memory.h"

#include <gtest/gtest.h>

#include "llm/lora/operands.h"
#include "llm/model/decoder.h"
#include "llm/model/testing.h"
#include "llm/train/adapter_plan.h"

namespace crossover::llm {
namespace {

constexpr int64_t kGb = 1'000'000'000;

TEST(ForecastMemoryTest, ActivationsAreThoseOfTheDecoder) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3}) {
    const ModelConfig model = TinyConfig(architecture);
    for (int bits = 0; bits < 32; ++bits) {
      const bool bf16 = (bits & 1) != 0, keep = (bits & 2) != 0, recompute = (bits & 4) != 0;
      const bool dropout = (bits & 8) != 0;
      TrainConfig config{.rank = 4};
      config.dora = (bits & 16) != 0;
      const LoraLayout layout = PlannedLayout(model, config);
      const Execution execution{.compute_type = bf16 ? ComputeType::kBf16 : ComputeType::kFp32};
      EXPECT_EQ(
          ActivationBytesPerToken(
              model, layout,
              {.item = bf16 ? 2 : 4, .keep = keep, .recompute = recompute, .dropout = dropout}),
          Activations::BytesPerToken(model, execution, RanksOf(layout, dropout), keep, recompute))
          << NameOf(architecture) << " " << bits;
    }
  }
}

// Qwen2.5-7B's shape: 7.6 billion parameters.
ModelConfig Large() {
  ModelConfig model = TinyConfig(Architecture::kQwen2);
  model.hidden_size = 3584;
  model.intermediate_size = 18'944;
  model.layers = 28;
  model.heads = 28;
  model.kv_heads = 4;
  model.head_dim = 128;
  model.vocab_size = 152'064;
  model.tied_embeddings = false;
  return model;
}

MemoryForecast Of(const TrainConfig& config, const ForecastOptions& options,
                  const LargestPacks& packs = {.train = 512, .validation = 512}) {
  const ModelConfig model = Large();
  return ForecastMemory(model, config, PlannedLayout(model, config), packs, options);
}

TEST(ForecastMemoryTest, AQuantisedBaseStaysInItsFileWhereItWouldTakeMoreThanHalf) {
  const TrainConfig config{.rank = 16};
  constexpr int64_t kFile = 4'700'000'000;  // 4-bit blocks
  EXPECT_EQ(DenseBytes(Large(), 2), 15'230'566'400);
  EXPECT_EQ(DecodeBufferBytes(Large(), 2), 1'089'994'752);  // the head
  const MemoryForecast unknown = Of(config, {.stored_bytes = kFile});
  EXPECT_FALSE(unknown.stored);
  EXPECT_GT(unknown.bytes, 15 * kGb);
  const MemoryForecast small = Of(config, {.memory_bytes = 12 * kGb, .stored_bytes = kFile});
  EXPECT_TRUE(small.stored);
  EXPECT_LT(small.bytes, 12 * kGb);
  EXPECT_GT(small.bytes, kFile + DecodeBufferBytes(Large(), 2));
  const MemoryForecast large = Of(config, {.memory_bytes = 64 * kGb, .stored_bytes = kFile});
  EXPECT_FALSE(large.stored);
  EXPECT_EQ(large.bytes, unknown.bytes);
}

TEST(ForecastMemoryTest, RecomputingKeepsInputsOnly) {
  TrainConfig config{.rank = 16};
  const MemoryForecast kept = Of(config, {});
  config.recompute = Recompute::kAlways;
  const MemoryForecast again = Of(config, {});
  EXPECT_FALSE(kept.recompute);
  EXPECT_TRUE(again.recompute);
  const LoraLayout layout = PlannedLayout(Large(), config);
  const auto per_token = [&](bool recompute) {
    return ActivationBytesPerToken(Large(), layout, {.keep = true, .recompute = recompute});
  };
  EXPECT_EQ(kept.bytes - again.bytes, 512 * (per_token(false) - per_token(true)));
  EXPECT_GT(kept.bytes - again.bytes, kGb);
  // Left to the worker, it is what its memory asks for.
  config.recompute = Recompute::kAuto;
  EXPECT_TRUE(Of(config, {.memory_bytes = 17 * kGb}).recompute);
  EXPECT_FALSE(Of(config, {.memory_bytes = 64 * kGb}).recompute);
  config.recompute = Recompute::kNever;
  EXPECT_FALSE(Of(config, {.memory_bytes = 17 * kGb}).recompute);
}

TEST(ForecastMemoryTest, Float32AndDoraAndDropoutTakeMore) {
  TrainConfig config{.rank = 16};
  const int64_t plain = Of(config, {}).bytes;
  EXPECT_GT(Of(config, {.bf16 = false}).bytes, plain + 15 * kGb);
  config.dropout = 0.1;
  EXPECT_EQ(Of(config, {}).bytes, plain + 512 * 2 * 18'944);
  config.dropout = 0;
  config.dora = true;
  EXPECT_GT(Of(config, {}).bytes, plain + kGb);
}

}  // namespace
}  // namespace crossover::llm
