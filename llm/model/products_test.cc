// Products against a plain sum in double, in odd sizes.
#include "llm/model/products.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

#include "llm/model/bf16_products.h"
#include "llm/model/f32_products.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {
namespace {

at::Tensor Random(int64_t rows, int64_t columns, at::ScalarType type) {
  return at::randn({rows, columns}).to(type);
}

// Largest error, in units of the largest absolute sum of products: what rounding may move.
double Error(const at::Tensor& got, const at::Tensor& wanted) {
  const double largest = wanted.abs().max().item<double>();
  return (got.to(at::kDouble) - wanted).abs().max().item<double>() / std::max(largest, 1e-30);
}

// One rounding to the type for own kernels; LibTorch rounds each of two products.
double Tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-5 : 1.0 / 128; }

struct Size {
  int64_t rows, in, out, ranks;
};

const Size kSizes[] = {{1, 576, 64, 1}, {7, 64, 33, 8},   {33, 576, 960, 48}, {33, 1536, 576, 16},
                       {33, 63, 31, 1}, {18, 64, 17, 24}, {97, 576, 64, 64},  {200, 64, 2064, 5}};

class ProductsTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(1); }
  const c10::InferenceMode inference_;
};

INSTANTIATE_TEST_SUITE_P(Types, ProductsTest, testing::Values(at::kFloat, at::kBFloat16));

TEST_P(ProductsTest, TransposedIsTheSumOfBothProducts) {
  for (const Size& size : kSizes) {
    const at::Tensor x = Random(size.rows, size.in, GetParam());
    const at::Tensor w = Random(size.out, size.in, GetParam());
    const at::Tensor t = Random(size.rows, size.ranks, GetParam());
    const at::Tensor b = Random(size.out, size.ranks, GetParam());
    at::Tensor y = at::full({size.rows, size.out}, 7, GetParam());
    const at::Tensor frozen = at::mm(x.to(at::kDouble), w.to(at::kDouble).t());
    ProductTransposed(x, w, {}, {}, y);
    EXPECT_LT(Error(y, frozen), Tolerance(GetParam())) << size.rows << " x " << size.out;
    ProductTransposed(x, w, t, b, y);
    EXPECT_LT(Error(y, frozen + at::mm(t.to(at::kDouble), b.to(at::kDouble).t())),
              Tolerance(GetParam()))
        << size.rows << " x " << size.out << " with rank " << size.ranks;
  }
}

TEST_P(ProductsTest, ProductIsTheSumOfBothProducts) {
  for (const Size& size : kSizes) {
    const at::Tensor dy = Random(size.rows, size.out, GetParam());
    const at::Tensor w = Random(size.out, size.in, GetParam());
    const at::Tensor t = Random(size.rows, size.ranks, GetParam());
    const at::Tensor a = Random(size.ranks, size.in, GetParam());
    at::Tensor dx = at::full({size.rows, size.in}, 7, GetParam());
    const at::Tensor frozen = at::mm(dy.to(at::kDouble), w.to(at::kDouble));
    Product(dy, w, {}, {}, dx);
    EXPECT_LT(Error(dx, frozen), Tolerance(GetParam())) << size.rows << " x " << size.in;
    Product(dy, w, t, a, dx);
    EXPECT_LT(Error(dx, frozen + at::mm(t.to(at::kDouble), a.to(at::kDouble))),
              Tolerance(GetParam()))
        << size.rows << " x " << size.in << " with rank " << size.ranks;
  }
}

// B of a group is block-diagonal, and 0 before the first step: what is skipped must be just that.
TEST_P(ProductsTest, ZerosInTheSecondFactorAreSkippedAlone) {
  const at::Tensor x = Random(33, 64, GetParam()), w = Random(96, 64, GetParam());
  const at::Tensor t = Random(33, 48, GetParam());
  at::Tensor b = at::zeros({96, 48}, GetParam());
  at::Tensor y = at::empty({33, 96}, GetParam());
  for (const bool set : {false, true}) {
    if (set) {
      b.narrow(0, 0, 40).narrow(1, 0, 16).fill_(0.5);
      b.narrow(0, 40, 20).narrow(1, 17, 9).fill_(-2);
    }
    ProductTransposed(x, w, t, b, y);
    const at::Tensor wanted = at::mm(x.to(at::kDouble), w.to(at::kDouble).t()) +
                              at::mm(t.to(at::kDouble), b.to(at::kDouble).t());
    EXPECT_LT(Error(y, wanted), Tolerance(GetParam()));
  }
}

TEST_P(ProductsTest, OuterProductsAddToTheirTargets) {
  at::Tensor memory;
  for (const Size& size : kSizes) {
    // Parts of wider rows, as the matrices of a group are.
    const at::Tensor p = Random(size.rows, size.ranks + 3, GetParam()).narrow(1, 2, size.ranks);
    const at::Tensor q = Random(size.rows, size.out + 5, GetParam()).narrow(1, 1, size.out);
    std::vector<float> by_rank(size.ranks * size.out, 1.0f), by_column = by_rank;
    const OuterProduct products[] = {
        {.p = p, .q = q, .to = by_rank.data(), .rank_stride = size.out},
        {.p = p, .q = q, .to = by_column.data(), .column_stride = size.ranks, .scale = -2}};
    AddOuterProducts(products, memory);
    const at::Tensor sums = at::mm(p.to(at::kDouble).t(), q.to(at::kDouble));
    EXPECT_LT(Error(at::from_blob(by_rank.data(), {size.ranks, size.out}), 1 + sums),
              Tolerance(GetParam()));
    EXPECT_LT(Error(at::from_blob(by_column.data(), {size.out, size.ranks}), 1 - 2 * sums.t()),
              Tolerance(GetParam()));
  }
}

// Adjacent parts of one matrix, which LibTorch multiplies at once, then a gap, another q and parts
// in the wrong order.
TEST_P(ProductsTest, OuterProductsOfAGroupAddToEachTarget) {
  constexpr int64_t kIn = 70;
  struct Part {
    int64_t offset, ranks, q;
  };
  const Part parts[] = {{0, 4, 0}, {4, 7, 0}, {11, 1, 0}, {14, 2, 0}, {16, 3, 1}, {8, 5, 1}};
  at::Tensor memory;
  for (const int64_t rows : {9, 40}) {
    const at::Tensor p = Random(rows, 19, GetParam());
    const at::Tensor qs[] = {Random(rows, kIn, GetParam()), Random(rows, kIn, GetParam())};
    at::Tensor targets[std::size(parts)];
    std::vector<OuterProduct> products;
    for (size_t i = 0; i < std::size(parts); ++i) {
      targets[i] = at::ones({parts[i].ranks, kIn});
      products.push_back({.p = p.narrow(1, parts[i].offset, parts[i].ranks),
                          .q = qs[parts[i].q],
                          .to = Data<float>(targets[i]),
                          .rank_stride = kIn,
                          .scale = 1.0f + static_cast<float>(i)});
    }
    AddOuterProducts(products, memory);
    for (size_t i = 0; i < std::size(parts); ++i) {
      const at::Tensor sums =
          at::mm(products[i].p.to(at::kDouble).t(), products[i].q.to(at::kDouble));
      EXPECT_LT(Error(targets[i], 1 + (1.0 + static_cast<double>(i)) * sums), Tolerance(GetParam()))
          << "part " << i << " of " << rows << " rows";
    }
  }
}

// In LibTorch's part a group's dA is one product: its bits, and memory only for it.
TEST_P(ProductsTest, LibTorchMultipliesAGroupAtOnce) {
  constexpr int64_t kRows = 9, kIn = 70, kRanks = 12;  // Too few rows for the own kernels.
  const at::Tensor p = Random(kRows, kRanks, GetParam()), q = Random(kRows, kIn, GetParam());
  const at::Tensor got = at::zeros({kRanks, kIn});
  std::vector<OuterProduct> products;
  for (int64_t rank = 0; rank < kRanks; rank += 4) {
    products.push_back({.p = p.narrow(1, rank, 4),
                        .q = q,
                        .to = Data<float>(got) + rank * kIn,
                        .rank_stride = kIn});
  }
  at::Tensor memory;
  AddOuterProducts(products, memory);
  EXPECT_EQ(memory.numel(), kRanks * kIn);
  EXPECT_TRUE(at::equal(got, at::mm(p.t(), q).to(at::kFloat)));
  const void* const before = memory.const_data_ptr();
  AddOuterProducts(std::span(products).first(1), memory);
  EXPECT_EQ(memory.const_data_ptr(), before);
}

TEST_P(ProductsTest, EmptyResultsAreLeftAlone) {
  for (const int64_t rows : {0, 33}) {
    const int64_t columns = rows == 0 ? 20 : 0;
    const at::Tensor x = Random(rows, 64, GetParam());
    at::Tensor y = at::empty({rows, columns}, GetParam());
    ProductTransposed(x, Random(columns, 64, GetParam()), {}, {}, y);
    Product(x, Random(64, columns, GetParam()), {}, {}, y);
    EXPECT_EQ(y.numel(), 0);
  }
  at::Tensor y = at::full({33, 20}, 7, GetParam());
  ProductTransposed(Random(33, 0, GetParam()), Random(20, 0, GetParam()), {}, {}, y);
  EXPECT_TRUE(at::equal(y, at::zeros_like(y))) << "a sum of nothing is 0";
}

TEST_P(ProductsTest, MatricesThatDoNotFitAreRefused) {
  const at::ScalarType type = GetParam();
  const at::ScalarType other = type == at::kFloat ? at::kBFloat16 : at::kFloat;
  const at::Tensor x = Random(33, 64, type), w = Random(20, 64, type);
  at::Tensor y = at::empty({33, 20}, type);
  EXPECT_THROW(ProductTransposed(x, Random(20, 63, type), {}, {}, y), c10::Error);
  EXPECT_THROW(ProductTransposed(x, Random(20, 64, other), {}, {}, y), c10::Error);
  EXPECT_THROW(ProductTransposed(x, Random(64, 20, type).t(), {}, {}, y), c10::Error);
  EXPECT_THROW(ProductTransposed(x, w, Random(33, 8, type), Random(20, 7, type), y), c10::Error);
  EXPECT_THROW(Product(x, w, {}, {}, y), c10::Error);
  EXPECT_THROW(Product(x, Random(64, 20, type), Random(32, 8, type), Random(8, 20, type), y),
               c10::Error);
  at::Tensor memory;
  std::vector<float> to(64 * 64);
  OuterProduct outer{.p = x, .q = Random(32, 64, type), .to = to.data(), .rank_stride = 64};
  EXPECT_THROW(AddOuterProducts(std::span(&outer, 1), memory), c10::Error);
  outer.q = Random(33, 64, other);
  EXPECT_THROW(AddOuterProducts(std::span(&outer, 1), memory), c10::Error);
  outer.q = x;
  outer.column_stride = 2;
  EXPECT_THROW(AddOuterProducts(std::span(&outer, 1), memory), c10::Error);
}

TEST_P(ProductsTest, ThreadsDoNotChangeABit) {
  if (!PackedPanels::Here(GetParam())) GTEST_SKIP() << "LibTorch's products make no such promise";
  at::Tensor memory;
  const at::Tensor x = Random(131, 576, GetParam()), w = Random(320, 576, GetParam());
  const at::Tensor t = Random(131, 24, GetParam()), b = Random(320, 24, GetParam());
  at::Tensor one = at::empty({131, 320}, GetParam()), three = at::empty_like(one);
  std::vector<float> sums_of_one(24 * 576), sums_of_three(24 * 576);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  ProductTransposed(x, w, t, b, one);
  OuterProduct outer{.p = t, .q = x, .to = sums_of_one.data(), .rank_stride = 576};
  AddOuterProducts(std::span(&outer, 1), memory);
  at::set_num_threads(3);
  ProductTransposed(x, w, t, b, three);
  outer.to = sums_of_three.data();
  AddOuterProducts(std::span(&outer, 1), memory);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one, three));
  EXPECT_EQ(sums_of_one, sums_of_three);
}

class Bf16ProductsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Bf16ProductsHere() == nullptr) GTEST_SKIP() << "no AVX-512-BF16, or AMX";
    at::manual_seed(1);
  }
  const c10::InferenceMode inference_;
};

// 256.75 + 0.75 is 257.5, and 258 in bf16, whose numbers are 2 apart there. Rounded before the
// second product is added, it is 256 + 0.75, and so 256.
TEST_F(Bf16ProductsTest, TheSumOfBothProductsIsRoundedOnce) {
  const auto matrix = [](int64_t rows, float first, float second) {
    return at::tensor({first, second}).to(at::kBFloat16).repeat({rows, 1});
  };
  const at::Tensor x = matrix(33, 16, 1), w = matrix(40, 16, 0.75);
  const at::Tensor t = matrix(33, 0.5, 0.25), b = matrix(40, 1, 1);
  at::Tensor y = at::empty({33, 40}, at::kBFloat16);
  const at::Tensor once = at::full_like(y, 258);
  ProductTransposed(x, w, t, b, y);
  EXPECT_TRUE(at::equal(y, once)) << y[0][0].item<float>();
  y.zero_();
  Product(x, w.t().contiguous(), t, b.t().contiguous(), y);
  EXPECT_TRUE(at::equal(y, once)) << y[0][0].item<float>();
}

// A row's result must not depend on the rows beside it: batches of other sizes give the same bits.
TEST_P(ProductsTest, RowsDoNotDependOnEachOther) {
  if (!PackedPanels::Here(GetParam())) GTEST_SKIP() << "LibTorch's products make no such promise";
  const at::Tensor x = Random(57, 96, GetParam()), w = Random(40, 96, GetParam());
  at::Tensor all = at::empty({57, 40}, GetParam()), part = at::empty({19, 40}, GetParam());
  ProductTransposed(x, w, {}, {}, all);
  ProductTransposed(x.narrow(0, 5, 19), w, {}, {}, part);
  EXPECT_TRUE(at::equal(all.narrow(0, 5, 19), part));
}

TEST_P(ProductsTest, PanelsPackedOnceGiveEveryRowItsBits) {
  if (!PackedPanels::Here(GetParam())) GTEST_SKIP() << "no own kernels for this type here";
  for (const Size& size : kSizes) {
    const at::Tensor x = Random(size.rows, size.in, GetParam());
    const at::Tensor w = Random(size.out, size.in, GetParam());
    const PackedPanels packed(w);
    const at::Tensor y = packed.Multiply(x);
    EXPECT_LT(Error(y, at::mm(x.to(at::kDouble), w.to(at::kDouble).t())), Tolerance(GetParam()));
    EXPECT_TRUE(packed.Multiply(x.narrow(0, size.rows - 1, 1)).equal(y.narrow(0, size.rows - 1, 1)))
        << size.rows << " x " << size.out;
  }
}

TEST(F32ProductsTest, TilesAdd) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "no AVX2";
  at::manual_seed(1);
  const struct {
    int64_t m, n, k;
  } sizes[] = {{32, 64, 64}, {64, 32, 80}, {13, 48, 31}, {1, 16, 1}};
  for (const auto& [m, n, k] : sizes) {
    const at::Tensor a = Random(m, k, at::kFloat), b = Random(k, n, at::kFloat);
    at::Tensor c = at::ones({m, n});
    const at::Tensor product = at::mm(a.to(at::kDouble), b.to(at::kDouble));
    for (const bool add : {true, false}) {
      F32ProductsAvx2().tile(m, n, k, k, n, n, add, Data<float>(a), Data<float>(b), Data<float>(c));
      EXPECT_LT(Error(c, product + (add ? 1 : 0)), 1e-5) << m << " x " << n << " x " << k;
    }
  }
}

TEST_F(Bf16ProductsTest, TilesAddInFp32) {
  const struct {
    int64_t m, n, k;
  } sizes[] = {{32, 64, 64}, {64, 32, 80}, {13, 48, 32}, {1, 16, 2}};
  for (const auto& [m, n, k] : sizes) {
    const at::Tensor a = Random(m, k, at::kBFloat16), b = Random(k, n, at::kBFloat16);
    const at::Tensor pairs = b.view({k / 2, 2, n}).transpose(1, 2).contiguous();
    at::Tensor c = at::ones({m, n});
    const at::Tensor product = at::mm(a.to(at::kDouble), b.to(at::kDouble));
    for (const bool add : {true, false}) {
      Bf16ProductsHere()->tile(m, n, k, k, n, n, add, Data<Bf16Bits>(a), Data<Bf16Bits>(pairs),
                               Data<float>(c));
      EXPECT_LT(Error(c, product + (add ? 1 : 0)), 1e-5) << m << " x " << n << " x " << k;
    }
  }
}

}  // namespace
}  // namespace crossover::llm
