#include "llm/generate/quantised_weight.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>

#include "llm/generate/packed_linear.h"
#include "llm/generate/quantised_panels.h"
#include "llm/model/products.h"

namespace crossover::llm {
namespace {

// |a - b| / |b|
double RelativeError(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

class QuantisedWeightTest : public testing::Test {
 protected:
  QuantisedWeightTest() {
    at::manual_seed(3);
    weight_ = at::randn({128, 96}).to(at::kBFloat16);
    x_ = at::randn({3, 96}).to(at::kBFloat16);
  }

  at::Tensor weight_, x_;
};

TEST_F(QuantisedWeightTest, TheKernelMultipliesWithTheNumbersItStandsFor) {
  for (const DecodeWeights type : {DecodeWeights::kInt8, DecodeWeights::kInt4}) {
    auto quantised = QuantisedWeight::Of(weight_, type);
    ASSERT_TRUE(quantised.has_value());
    const at::Tensor values = quantised->TakeValues();
    const at::Tensor expected = at::mm(x_.to(at::kFloat), values.to(at::kFloat).t());
    EXPECT_LT(RelativeError(quantised->Multiply(x_), expected), 6e-3) << static_cast<int>(type);
  }
}

TEST_F(QuantisedWeightTest, ItsNumbersAreNearTheWeights) {
  EXPECT_LT(
      RelativeError(QuantisedWeight::Of(weight_, DecodeWeights::kInt8)->TakeValues(), weight_),
      0.01);
  EXPECT_LT(
      RelativeError(QuantisedWeight::Of(weight_, DecodeWeights::kInt4)->TakeValues(), weight_),
      0.1);
}

// Blocks of 32 with 16 evenly spaced values, both ends among them.
TEST_F(QuantisedWeightTest, Int4GivesTheBlocksOfQ4Back) {
  const at::Tensor steps = at::randint(0, 16, {128, 3, 32}).to(at::kFloat);
  steps.select(2, 0).fill_(0);
  steps.select(2, 1).fill_(15);
  const at::Tensor scale = at::rand({128, 3, 1}) * 0.1 + 0.01, low = at::randn({128, 3, 1}) * 0.1;
  const at::Tensor weight =
      (steps * scale.to(at::kBFloat16).to(at::kFloat) + low).reshape({128, 96});
  EXPECT_LT(RelativeError(QuantisedWeight::Of(weight, DecodeWeights::kInt4)->TakeValues(), weight),
            4e-3);
}

TEST_F(QuantisedWeightTest, ShapesThatInt4DoesNotTakeAreLeftToInt8) {
  const at::Tensor odd = at::randn({100, 96}).to(at::kBFloat16);
  EXPECT_FALSE(QuantisedWeight::Of(odd, DecodeWeights::kInt4).has_value());
  EXPECT_TRUE(QuantisedWeight::Of(odd, DecodeWeights::kInt8).has_value());
}

TEST_F(QuantisedWeightTest, ARowIsTheSameInFewAndInManyRowsButForRounding) {
  const FrozenLinear linear{.weight = weight_};
  for (const DecodeWeights type : {DecodeWeights::kInt8, DecodeWeights::kInt4}) {
    const PackedLinear packed(linear, type);
    const at::Tensor many = packed.Forward(x_.repeat({8, 1}));
    EXPECT_LT(RelativeError(packed.Forward(x_), many.narrow(0, 0, 3)), 6e-3);
    // In any number of rows over a few, the same bits.
    EXPECT_TRUE(at::equal(many.narrow(0, 0, 12), packed.Forward(x_.repeat({4, 1}))));
  }
}

TEST_F(QuantisedWeightTest, ARowOfZerosStaysOne) {
  weight_.select(0, 5).zero_();
  for (const DecodeWeights type : {DecodeWeights::kInt8, DecodeWeights::kInt4}) {
    const at::Tensor y = QuantisedWeight::Of(weight_, type)->Multiply(x_);
    EXPECT_LT(std::abs(y[0][5].item<float>()), 1e-6);
    EXPECT_TRUE(y.isfinite().all().item<bool>());
  }
}

class QuantisedPanelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!QuantisedPanels::Here()) GTEST_SKIP() << "no AVX2";
    at::manual_seed(3);
  }
};

TEST_F(QuantisedPanelsTest, TheirNumbersAreNearTheWeights) {
  for (const int64_t out : {128, 35}) {
    const at::Tensor weight = at::randn({out, 96}), x = at::randn({7, 96});
    const at::Tensor expected = at::mm(x, weight.t());
    const QuantisedPanels int8(weight, DecodeWeights::kInt8), int4(weight, DecodeWeights::kInt4);
    EXPECT_LT(RelativeError(int8.Multiply(x), expected), 0.015) << out;
    EXPECT_LT(RelativeError(int4.Multiply(x), expected), 0.12) << out;
    EXPECT_GT(RelativeError(int4.Multiply(x), expected), 0.02) << "that is no int4";
  }
}

// Blocks of 32 with 16 evenly spaced values, both ends among them.
TEST_F(QuantisedPanelsTest, Int4GivesTheBlocksOfQ4Back) {
  const at::Tensor steps = at::randint(0, 16, {40, 3, 32}).to(at::kFloat);
  steps.select(2, 0).fill_(0);
  steps.select(2, 1).fill_(15);
  const at::Tensor scale = at::rand({40, 3, 1}) * 0.1 + 0.01, low = at::randn({40, 3, 1}) * 0.1;
  const at::Tensor weight = (steps * scale + low).reshape({40, 96}), x = at::randn({9, 96});
  EXPECT_LT(RelativeError(QuantisedPanels(weight, DecodeWeights::kInt4).Multiply(x),
                          at::mm(x.to(at::kDouble), weight.to(at::kDouble).t())),
            1e-5);
}

TEST_F(QuantisedPanelsTest, ARowIsTheSameBitsInAnyNumberOfRows) {
  const FrozenLinear linear{.weight = at::randn({72, 64})};
  const at::Tensor x = at::randn({13, 64});
  for (const DecodeWeights type :
       {DecodeWeights::kDense, DecodeWeights::kInt8, DecodeWeights::kInt4}) {
    if (type == DecodeWeights::kDense && !PackedPanels::Here(at::kFloat)) continue;
    const PackedLinear packed(linear, type);
    const at::Tensor all = packed.Forward(x);
    for (const int64_t row : {0, 5, 12}) {
      EXPECT_TRUE(at::equal(packed.Forward(x.narrow(0, row, 1)), all.narrow(0, row, 1)))
          << static_cast<int>(type) << " row " << row;
    }
  }
}

TEST_F(QuantisedPanelsTest, RowsThatInt4DoesNotTakeAreLeftToInt8) {
  const at::Tensor weight = at::randn({20, 40}), x = at::randn({2, 40});
  EXPECT_TRUE(at::equal(QuantisedPanels(weight, DecodeWeights::kInt4).Multiply(x),
                        QuantisedPanels(weight, DecodeWeights::kInt8).Multiply(x)));
}

TEST_F(QuantisedPanelsTest, ARowOfZerosStaysOne) {
  at::Tensor weight = at::randn({20, 64});
  weight.select(0, 5).zero_();
  for (const DecodeWeights type : {DecodeWeights::kInt8, DecodeWeights::kInt4}) {
    const at::Tensor y = QuantisedPanels(weight, type).Multiply(at::randn({3, 64}));
    EXPECT_LT(y.select(1, 5).abs().max().item<float>(), 1e-6);
    EXPECT_TRUE(y.isfinite().all().item<bool>());
  }
}

TEST_F(QuantisedPanelsTest, FactorsThatDoNotFitAreRefused) {
  const QuantisedPanels panels(at::randn({20, 64}), DecodeWeights::kInt8);
  EXPECT_THROW(panels.Multiply(at::randn({3, 63})), c10::Error);
  EXPECT_THROW(panels.Multiply(at::randn({3, 64}).to(at::kBFloat16)), c10::Error);
}

}  // namespace
}  // namespace crossover::llm
