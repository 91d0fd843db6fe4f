#include "llm/model/attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <numeric>
#include <vector>

#include "llm/model/execution.h"

namespace crossover::llm {
namespace {

// Segments (parent, size) laid out one after the other.
Pack PackWith(const std::vector<std::pair<int, int64_t>>& segments) {
  Pack pack;
  int64_t begin = 0;
  for (const auto& [parent, size] : segments) {
    Segment segment{.begin = begin, .end = begin + size, .parent = parent};
    if (parent >= 0) segment.context = pack.segments[parent].context + pack.segments[parent].size();
    for (int64_t i = 0; i < size; ++i)
      pack.positions.push_back(static_cast<int32_t>(segment.context + i));
    pack.ids.resize(begin + size);
    pack.segments.push_back(segment);
    begin += size;
  }
  return pack;
}

// One row of the mask per token: what it may see.
at::Tensor MaskOf(const Pack& pack) {
  at::Tensor mask = at::full({pack.tokens(), pack.tokens()}, -INFINITY, at::kDouble);
  for (int s = 0; s < static_cast<int>(pack.segments.size()); ++s) {
    const Segment& segment = pack.segments[s];
    for (int64_t i = segment.begin; i < segment.end; ++i) {
      for (const auto& [begin, end] : AncestorRanges(pack, s)) mask[i].slice(0, begin, end).zero_();
      mask[i].slice(0, segment.begin, i + 1).zero_();
    }
  }
  return mask;
}

at::Tensor Reference(const AttentionShape& shape, const Pack& pack, const at::Tensor& qkv) {
  const int64_t n = pack.tokens();
  const auto heads = [&](int64_t first, int64_t count) {
    return qkv.narrow(1, first * shape.head_dim, count * shape.head_dim)
        .reshape({n, count, shape.head_dim})
        .transpose(0, 1);
  };
  const int64_t group = shape.heads / shape.kv_heads;
  const at::Tensor q = heads(0, shape.heads);
  const at::Tensor k = heads(shape.heads, shape.kv_heads).repeat_interleave(group, 0);
  const at::Tensor v =
      heads(shape.heads + shape.kv_heads, shape.kv_heads).repeat_interleave(group, 0);
  const at::Tensor scores =
      at::matmul(q, k.transpose(1, 2)) * static_cast<double>(shape.scale()) + MaskOf(pack);
  return at::matmul(at::softmax(scores, -1), v).transpose(0, 1).reshape({n, shape.out_width()});
}

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item().toDouble();
}

struct Errors {
  double out;
  double gradient;
};

Errors Compare(const AttentionShape& shape, const Pack& pack, at::ScalarType type) {
  BindThread(Resolve({.threads = 2}));
  at::manual_seed(7);
  at::Tensor qkv = at::randn({pack.tokens(), shape.qkv_width()}).to(type);
  at::Tensor d_out = at::randn({pack.tokens(), shape.out_width()}).to(type);
  at::Tensor out = at::full({pack.tokens(), shape.out_width()}, NAN, qkv.options());
  at::Tensor lse = at::empty({pack.tokens(), shape.heads}, at::kFloat);
  at::Tensor d_qkv = at::full_like(qkv, NAN);
  AttentionForward(shape, pack, qkv, out, lse);
  AttentionBackward(shape, pack, qkv, out, lse, d_out, d_qkv);

  at::Tensor leaf = qkv.to(at::kDouble).requires_grad_(true);
  const at::Tensor expected = Reference(shape, pack, leaf);
  const auto gradient = torch::autograd::grad({expected}, {leaf}, {d_out.to(at::kDouble)});
  return {RelativeError(out, expected.detach()), RelativeError(d_qkv, gradient[0])};
}

const AttentionShape kShape{.heads = 6, .kv_heads = 2, .head_dim = 32};

TEST(AttentionTest, Fp32EqualsDenseAttentionAndItsAutogradGradient) {
  const Errors errors =
      Compare(kShape, PackWith({{-1, 1}, {-1, 63}, {-1, 64}, {-1, 65}, {-1, 150}}), at::kFloat);
  EXPECT_LT(errors.out, 1e-6);
  EXPECT_LT(errors.gradient, 1e-6);
}

TEST(AttentionTest, SharedPrefixesGetTheGradientsOfEveryRowBelowThem) {
  const Errors errors = Compare(
      kShape, PackWith({{-1, 70}, {0, 33}, {0, 1}, {0, 40}, {3, 90}, {3, 5}, {-1, 20}, {6, 100}}),
      at::kFloat);
  EXPECT_LT(errors.out, 1e-6);
  EXPECT_LT(errors.gradient, 1e-6);
}

TEST(AttentionTest, Bf16StaysWithinItsRounding) {
  const Errors errors = Compare({.heads = 9, .kv_heads = 3, .head_dim = 64},
                                PackWith({{-1, 85}, {0, 90}, {0, 31}, {-1, 175}}), at::kBFloat16);
  EXPECT_LT(errors.out, 4e-3);
  EXPECT_LT(errors.gradient, 8e-3);
}

TEST(AttentionTest, LongRowsAreCutIntoTasksWithoutASeam) {
  const Errors errors = Compare({.heads = 2, .kv_heads = 1, .head_dim = 16},
                                PackWith({{-1, 100}, {0, 1100}}), at::kFloat);
  EXPECT_LT(errors.out, 1e-6);
  EXPECT_LT(errors.gradient, 1e-6);
}

TEST(AttentionTest, ThreadsDoNotChangeABit) {
  const Pack pack = PackWith({{-1, 70}, {0, 33}, {0, 90}, {-1, 128}});
  at::manual_seed(3);
  const at::Tensor qkv = at::randn({pack.tokens(), kShape.qkv_width()}).to(at::kBFloat16);
  const at::Tensor d_out = at::randn({pack.tokens(), kShape.out_width()}).to(at::kBFloat16);
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2}) {
    BindThread(Resolve({.threads = threads}));
    at::Tensor out = at::empty({pack.tokens(), kShape.out_width()}, qkv.options());
    at::Tensor lse = at::empty({pack.tokens(), kShape.heads}, at::kFloat);
    at::Tensor d_qkv = at::empty_like(qkv);
    AttentionForward(kShape, pack, qkv, out, lse);
    AttentionBackward(kShape, pack, qkv, out, lse, d_out, d_qkv);
    results.push_back(at::cat({out, d_qkv}, 1));
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

}  // namespace
}  // namespace crossover::llm
