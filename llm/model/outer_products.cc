#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <span>
#include <vector>

#include "llm/model/attention_dispatch.h"
#include "llm/model/own_products.h"
#include "llm/model/parallel.h"
#include "llm/model/products.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

// Columns of p^T q that a task computes.
constexpr int64_t kOuterColumns = 32;

// `like` is of the same tokens.
void CheckOuter(const OuterProduct& product, const at::Tensor& like) {
  CheckFirst("first factor", product.p);
  CheckFirst("second factor", product.q);
  CheckMatrix("first factor", product.p, like.scalar_type(), like.size(0), product.p.size(1));
  CheckMatrix("second factor", product.q, like.scalar_type(), like.size(0), product.q.size(1));
  TORCH_CHECK(product.rank_stride == 1 || product.column_stride == 1,
              "The target of an outer product has strides ", product.rank_stride, " and ",
              product.column_stride, "; one of them should be 1.");
}

// The first factor of an outer product in the form that the kernel takes.
template <typename T>
class Ranks;

// p^T in pairs of rows, [ranks][pairs].
template <>
class Ranks<Bf16Bits> {
 public:
  Ranks() = default;
  explicit Ranks(const at::Tensor& p) : ranks_(p.size(1)), rows_(p.size(0)) {
    const int64_t count = (rows_ + 1) / 2, ld = p.stride(0);
    pairs_.resize(ranks_ * count);
    for (int64_t i = 0; i < count; ++i) {
      const Bf16Bits* even = Data<Bf16Bits>(p) + 2 * i * ld;
      for (int64_t r = 0; r < ranks_; ++r) {
        const uint32_t odd = 2 * i + 1 < rows_ ? even[ld + r] : 0;
        pairs_[r * count + i] = even[r] | odd << 16;
      }
    }
  }

  int64_t count() const { return ranks_; }
  // sums [ranks][kOuterColumns] = p^T q for `columns` columns of q.
  void Multiply(const Bf16Bits* q, int64_t ld, int64_t columns, float* sums) const {
    Bf16ProductsHere()->outer(pairs_.data(), ranks_, q, ld, rows_, columns, sums, kOuterColumns);
  }

 private:
  int64_t ranks_ = 0, rows_ = 0;
  std::vector<uint32_t> pairs_;
};

// p as it is.
template <>
class Ranks<float> {
 public:
  Ranks() = default;
  explicit Ranks(const at::Tensor& p)
      : p_(Data<float>(p)), ld_(p.stride(0)), ranks_(p.size(1)), rows_(p.size(0)) {}

  int64_t count() const { return ranks_; }
  void Multiply(const float* q, int64_t ld, int64_t columns, float* sums) const {
    F32ProductsHere()->outer(p_, ld_, ranks_, q, ld, rows_, columns, sums, kOuterColumns);
  }

 private:
  const float* p_ = nullptr;
  int64_t ld_ = 0, ranks_ = 0, rows_ = 0;
};

// Adds `columns` sums of each rank, [ranks][kOuterColumns].
void AddSums(const float* sums, int64_t ranks, int64_t first, int64_t columns,
             const OuterProduct& product) {
  float* to = product.to + first * product.column_stride;
  if (product.column_stride == 1) {
    for (int64_t r = 0; r < ranks; ++r) {
      for (int64_t j = 0; j < columns; ++j)
        to[r * product.rank_stride + j] += product.scale * sums[r * kOuterColumns + j];
    }
    return;
  }
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t r = 0; r < ranks; ++r)
      to[j * product.column_stride + r * product.rank_stride] +=
          product.scale * sums[r * kOuterColumns + j];
  }
}

template <typename T>
void AddOwn(std::span<const OuterProduct> products) {
  std::vector<Ranks<T>> ranks(products.size());
  ParallelTasks(static_cast<int64_t>(products.size()),
                [&](int64_t i) { ranks[i] = Ranks<T>(products[i].p); });
  struct Task {
    size_t product;
    int64_t first;
  };
  std::vector<Task> tasks;
  for (size_t i = 0; i < products.size(); ++i) {
    for (int64_t first = 0; first < products[i].q.size(1); first += kOuterColumns)
      tasks.push_back({i, first});
  }
  ParallelTasks(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const OuterProduct& product = products[tasks[i].product];
    const Ranks<T>& p = ranks[tasks[i].product];
    const int64_t first = tasks[i].first;
    const int64_t columns = std::min(kOuterColumns, product.q.size(1) - first);
    thread_local Scratch<float> sum_memory;
    float* sums = sum_memory.Get(p.count() * kOuterColumns);
    p.Multiply(Data<T>(product.q) + first, product.q.stride(0), columns, sums);
    AddSums(sums, p.count(), first, columns, product);
  });
}

template <typename T>
void Accumulate(const at::Tensor& sums, float scale, float* to, int64_t ld) {
  const int64_t columns = sums.size(1);
  ParallelRanges(sums.size(0), 64, [&](int64_t begin, int64_t end) {
    RowKernelsOf<T>().accumulate(Data<T>(sums) + begin * columns, columns, scale, end - begin,
                                 columns, to + begin * ld, ld);
  });
}

void AccumulateSums(const at::Tensor& sums, float scale, float* to, int64_t ld) {
  if (sums.scalar_type() == at::kFloat) {
    Accumulate<float>(sums, scale, to, ld);
  } else {
    Accumulate<Bf16Bits>(sums, scale, to, ld);
  }
}

// Sums [rows, columns] at the start of `memory`, which grows where it is too small.
at::Tensor SumsIn(at::Tensor& memory, int64_t rows, int64_t columns, const at::Tensor& like) {
  const int64_t size = rows * columns;
  if (!memory.defined() || memory.numel() < size || memory.scalar_type() != like.scalar_type())
    memory = at::empty({size}, like.options());
  return memory.narrow(0, 0, size).view({rows, columns});
}

bool IsByRank(const OuterProduct& product) { return product.rank_stride != 1; }

bool SameMatrix(const at::Tensor& a, const at::Tensor& b) {
  return a.const_data_ptr() == b.const_data_ptr() && a.sizes() == b.sizes() &&
         a.strides() == b.strides();
}

// Whether one product of both p, side by side, with their common q gives both.
bool Continues(const OuterProduct& last, const OuterProduct& next) {
  return IsByRank(last) && IsByRank(next) && SameMatrix(last.q, next.q) &&
         last.p.is_alias_of(next.p) && last.p.stride(0) == next.p.stride(0) &&
         last.p.storage_offset() + last.p.size(1) == next.p.storage_offset();
}

// Products that continue each other: q is read once.
void AddByRank(std::span<const OuterProduct> run, at::Tensor& memory) {
  const at::Tensor &first = run[0].p, &q = run[0].q;
  int64_t ranks = 0;
  for (const OuterProduct& product : run) ranks += product.p.size(1);
  const at::Tensor p = first.as_strided({first.size(0), ranks}, {first.stride(0), 1});
  at::Tensor sums = SumsIn(memory, ranks, q.size(1), q);
  at::mm_out(sums, p.t(), q);
  int64_t rank = 0;
  for (const OuterProduct& product : run) {
    AccumulateSums(sums.narrow(0, rank, product.p.size(1)), product.scale, product.to,
                   product.rank_stride);
    rank += product.p.size(1);
  }
}

void AddByColumn(const OuterProduct& product, at::Tensor& memory) {
  at::Tensor sums = SumsIn(memory, product.q.size(1), product.p.size(1), product.q);
  at::mm_out(sums, product.q.t(), product.p);
  AccumulateSums(sums, product.scale, product.to, product.column_stride);
}

void AddOfTorch(std::span<const OuterProduct> products, at::Tensor& memory) {
  for (size_t begin = 0, end = 0; begin < products.size(); begin = end) {
    end = begin + 1;
    while (end < products.size() && Continues(products[end - 1], products[end])) ++end;
    if (IsByRank(products[begin])) {
      AddByRank(products.subspan(begin, end - begin), memory);
    } else {
      AddByColumn(products[begin], memory);
    }
  }
}

}  // namespace

void AddOuterProducts(std::span<const OuterProduct> products, at::Tensor& memory) {
  if (products.empty()) return;
  for (const OuterProduct& product : products) CheckOuter(product, products[0].p);
  if (!OwnProducts(products[0].p, 0)) return AddOfTorch(products, memory);
  WithNumbersOf(products[0].p, [&]<typename T>() { AddOwn<T>(products); });
}

}  // namespace crossover::llm
