#include "llm/model/products.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "llm/model/attention_dispatch.h"
#include "llm/model/bf16_products.h"
#include "llm/model/execution.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

// With fewer rows, packing B costs as much as multiplying.
constexpr int64_t kFewestRows = 16;
// With more summands a panel of B leaves the cache before it is used again.
constexpr int64_t kMostSummands = 8192;
// Panels that a task packs and multiplies with.
constexpr int64_t kThinPanels = 4;  // One panel each.
constexpr int64_t kPanelsOfTask = 2;
constexpr int64_t kPanelsOfWideTask = 4;
constexpr int64_t kWidePanels = 128;
// Rows of a task where columns alone are too few for the threads.
constexpr int64_t kRowsOfTask = 96;
// Columns of p^T q that a task computes.
constexpr int64_t kOuterColumns = 32;

bool OwnProducts(const at::Tensor& x, int64_t summands) {
  return Bf16ProductsHere() != nullptr && x.scalar_type() == at::kBFloat16 &&
         x.size(0) >= kFewestRows && summands <= kMostSummands;
}

// One product of a sum, with B as a matrix in memory that is packed on the way.
struct Factor {
  const Bf16Bits* a;
  int64_t ld_a;
  const Bf16Bits* w;
  int64_t ld_w;
  int64_t k;
};

Factor FactorOf(const at::Tensor& x, const at::Tensor& w) {
  return {Data<Bf16Bits>(x), x.stride(0), Data<Bf16Bits>(w), w.stride(0), x.size(1)};
}

// Panels [begin, end) and rows [first, last) of one sum of products.
class SumOfProducts {
 public:
  SumOfProducts(std::vector<Factor> factors, bool transposed, at::Tensor& y)
      : factors_(std::move(factors)),
        pack_(transposed ? Bf16ProductsHere()->pack_transposed : Bf16ProductsHere()->pack),
        rows_(y.size(0)),
        columns_(y.size(1)),
        ld_(y.stride(0)),
        y_(Data<Bf16Bits>(y)) {}

  void Run() const {
    const int64_t panels = (columns_ + kPanel - 1) / kPanel;
    const int64_t width = panels <= kThinPanels  ? 1
                          : panels < kWidePanels ? kPanelsOfTask
                                                 : kPanelsOfWideTask;
    const int64_t across = (panels + width - 1) / width;
    const int64_t down = std::clamp<int64_t>((2 * at::get_num_threads() + across - 1) / across, 1,
                                             (rows_ + kRowsOfTask - 1) / kRowsOfTask);
    const int64_t height = (rows_ + down - 1) / down;
    ParallelTasks(across * down, [&](int64_t task) {
      const int64_t begin = task % across * width, row = task / across * height;
      Piece(begin, std::min(panels, begin + width), row, std::min(rows_, row + height));
    });
  }

 private:
  void Piece(int64_t begin, int64_t end, int64_t row, int64_t last_row) const {
    if (row >= last_row) return;
    thread_local Scratch<Bf16Bits> packed_memory;
    int64_t size = 0;
    for (const Factor& factor : factors_) size += PackedSize(factor, end - begin);
    Bf16Bits* packed = packed_memory.Get(size);
    ProductTerm terms[2];
    PairRange ranges[2][kPanelsOfWideTask];
    for (size_t i = 0; i < factors_.size(); ++i) {
      const Factor& factor = factors_[i];
      const int64_t columns = std::min(columns_, end * kPanel) - begin * kPanel;
      const int64_t step = pack_ == Bf16ProductsHere()->pack ? 1 : factor.ld_w;
      pack_(factor.w + begin * kPanel * step, factor.ld_w, factor.k, columns, 0, end - begin,
            packed, ranges[i]);
      terms[i] = {factor.a + row * factor.ld_a, factor.ld_a, {packed, ranges[i], factor.k}};
      packed += PackedSize(factor, end - begin);
    }
    Bf16ProductsHere()->multiply(terms, static_cast<int>(factors_.size()), last_row - row, 0,
                                 end - begin, columns_ - begin * kPanel,
                                 y_ + row * ld_ + begin * kPanel, ld_);
  }

  static int64_t PackedSize(const Factor& factor, int64_t panels) {
    return panels * kPanel * 2 * ((factor.k + 1) / 2);
  }

  const std::vector<Factor> factors_;
  decltype(Bf16Products::pack) const pack_;
  const int64_t rows_, columns_, ld_;
  Bf16Bits* const y_;
};

void RunOwn(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t, const at::Tensor& b,
            bool transposed, at::Tensor& y) {
  std::vector<Factor> factors = {FactorOf(x, w)};
  if (t.defined()) factors.push_back(FactorOf(t, b));
  SumOfProducts(std::move(factors), transposed, y).Run();
}

// One outer product in the form the kernel takes.
struct PairedOuter {
  int64_t ranks, rows;
  std::vector<uint32_t> p;  // p^T in pairs of rows: [ranks][pairs].
};

PairedOuter PairRows(const at::Tensor& p) {
  PairedOuter paired{p.size(1), p.size(0), {}};
  const int64_t count = (paired.rows + 1) / 2, ld = p.stride(0);
  paired.p.resize(paired.ranks * count);
  for (int64_t i = 0; i < count; ++i) {
    const Bf16Bits* even = Data<Bf16Bits>(p) + 2 * i * ld;
    for (int64_t r = 0; r < paired.ranks; ++r) {
      const uint32_t odd = 2 * i + 1 < paired.rows ? even[ld + r] : 0;
      paired.p[r * count + i] = even[r] | odd << 16;
    }
  }
  return paired;
}

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

void AddOwn(std::span<const OuterProduct> products) {
  std::vector<PairedOuter> paired(products.size());
  ParallelTasks(static_cast<int64_t>(products.size()),
                [&](int64_t i) { paired[i] = PairRows(products[i].p); });
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
    const PairedOuter& p = paired[tasks[i].product];
    const int64_t first = tasks[i].first;
    const int64_t columns = std::min(kOuterColumns, product.q.size(1) - first);
    thread_local Scratch<float> sum_memory;
    float* sums = sum_memory.Get(p.ranks * kOuterColumns);
    Bf16ProductsHere()->outer(p.p.data(), p.ranks, Data<Bf16Bits>(product.q) + first,
                              product.q.stride(0), p.rows, columns, sums, kOuterColumns);
    AddSums(sums, p.ranks, first, columns, product);
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

void AddOuterOfTorch(const OuterProduct& product) {
  const bool by_rank = product.column_stride == 1;
  const at::Tensor sums =
      by_rank ? at::mm(product.p.t(), product.q) : at::mm(product.q.t(), product.p);
  const int64_t ld = by_rank ? product.rank_stride : product.column_stride;
  if (sums.scalar_type() == at::kFloat) {
    Accumulate<float>(sums, product.scale, product.to, ld);
  } else {
    Accumulate<Bf16Bits>(sums, product.scale, product.to, ld);
  }
}

}  // namespace

void ProductTransposed(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t,
                       const at::Tensor& b, at::Tensor& y) {
  if (OwnProducts(x, w.size(1))) return RunOwn(x, w, t, b, /*transposed=*/true, y);
  at::mm_out(y, x, w.t());
  if (t.defined()) y.addmm_(t, b.t());
}

void Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t, const at::Tensor& a,
             at::Tensor& y) {
  if (OwnProducts(x, w.size(0))) return RunOwn(x, w, t, a, /*transposed=*/false, y);
  at::mm_out(y, x, w);
  if (t.defined()) y.addmm_(t, a);
}

void AddOuterProducts(std::span<const OuterProduct> products) {
  if (products.empty()) return;
  if (OwnProducts(products[0].p, 0)) return AddOwn(products);
  for (const OuterProduct& product : products) AddOuterOfTorch(product);
}

}  // namespace crossover::llm
