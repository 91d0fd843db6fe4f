// The own attention kernel against softmax in double.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "llm/model/bf16_products.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {
namespace {

// Queries, keys and values of one head, and the tiles made of them.
class Head {
 public:
  Head(int64_t rows, int64_t dim, int64_t tiles)
      : dim_(dim), keys_(tiles), values_(tiles), queries_(Random(rows)) {
    for (int64_t t = 0; t < tiles; ++t) {
      keys_[t] = Random(kAttendKeys);
      values_[t] = Random(kAttendKeys);
      // [dim/2][64] pairs of numbers, [32][dim] pairs of keys.
      key_tiles_.push_back(
          keys_[t].view({kAttendKeys, dim / 2, 2}).permute({1, 0, 2}).contiguous());
      value_tiles_.push_back(
          values_[t].view({kAttendKeys / 2, 2, dim}).permute({0, 2, 1}).contiguous());
    }
  }

  struct Result {
    at::Tensor out, lse;
  };

  Result Attend(int64_t first, const std::vector<int32_t>& visible) const {
    const int64_t rows = static_cast<int64_t>(visible.size());
    std::vector<const Bf16Bits*> keys, values;
    for (const at::Tensor& tile : key_tiles_) keys.push_back(Data<Bf16Bits>(tile));
    for (const at::Tensor& tile : value_tiles_) values.push_back(Data<Bf16Bits>(tile));
    Result result{at::full({rows, dim_}, 7, at::kFloat), at::full({rows}, 7, at::kFloat)};
    std::vector<float> memory(17 * rows);
    Bf16ProductsHere()->attend({.queries = Data<Bf16Bits>(queries_) + first * dim_,
                                .rows = rows,
                                .dim = dim_,
                                .keys = keys.data(),
                                .values = values.data(),
                                .tiles = static_cast<int64_t>(keys.size()),
                                .visible = visible.data(),
                                .scale = kScale,
                                .out = Data<float>(result.out),
                                .lse = Data<float>(result.lse),
                                .memory = memory.data()});
    return result;
  }

  Result Wanted(int64_t row, int64_t visible) const {
    const at::Tensor keys = at::cat(keys_).narrow(0, 0, visible).to(at::kDouble);
    const at::Tensor values = at::cat(values_).narrow(0, 0, visible).to(at::kDouble);
    const at::Tensor scores = at::mv(keys, queries_[row].to(at::kDouble)) * kScale;
    return {at::mv(values.t(), at::softmax(scores, 0)), at::logsumexp(scores, 0)};
  }

 private:
  static constexpr float kScale = 0.5f;

  at::Tensor Random(int64_t rows) const { return at::randn({rows, dim_}).to(at::kBFloat16); }

  int64_t dim_;
  std::vector<at::Tensor> keys_, values_, key_tiles_, value_tiles_;
  at::Tensor queries_;
};

class Bf16AttentionTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Bf16ProductsHere() == nullptr) GTEST_SKIP() << "no AVX-512-BF16, or AMX";
    at::manual_seed(1);
  }
  const c10::InferenceMode inference_;
};

TEST_F(Bf16AttentionTest, IsSoftmaxTimesValues) {
  for (const int64_t dim : {16, 48, 64, 80, 128}) {
    const Head head(13, dim, 3);
    const std::vector<int32_t> visible = {1, 2, 15, 16, 17, 63, 64, 65, 128, 129, 130, 191, 192};
    const Head::Result got = head.Attend(0, visible);
    for (int64_t row = 0; row < 13; ++row) {
      const Head::Result wanted = head.Wanted(row, visible[row]);
      EXPECT_NEAR(got.lse[row].item<float>(), wanted.lse.item<double>(), 1e-4);
      // Weights are rounded to bf16.
      EXPECT_LT((got.out[row].to(at::kDouble) - wanted.out).abs().max().item<double>(), 0.02)
          << "dimension " << dim << ", " << visible[row] << " keys";
    }
  }
}

TEST_F(Bf16AttentionTest, QueriesDoNotChangeEachOthersBits) {
  const Head head(13, 64, 2);
  const std::vector<int32_t> visible = {128, 1, 70, 64, 65, 3, 128, 100, 99, 2, 128, 5, 90};
  const Head::Result together = head.Attend(0, visible);
  for (int64_t row = 0; row < 13; ++row) {
    const Head::Result alone = head.Attend(row, {visible[row]});
    EXPECT_TRUE(together.out[row].equal(alone.out[0])) << row;
    EXPECT_TRUE(together.lse[row].equal(alone.lse[0])) << row;
  }
}

TEST_F(Bf16AttentionTest, WhoSeesNothingGetsNothing) {
  const Head head(2, 64, 1);
  const Head::Result got = head.Attend(0, {0, 5});
  EXPECT_EQ(got.out[0].abs().max().item<float>(), 0);
  EXPECT_EQ(got.lse[0].item<float>(), -INFINITY);
  EXPECT_TRUE(std::isfinite(got.lse[1].item<float>()));
}

}  // namespace
}  // namespace crossover::llm
