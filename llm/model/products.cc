#include "llm/model/products.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/util/Exception.h>

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
// Panels of a packed matrix that a task multiplies with: some ten tasks for the narrowest matrices.
constexpr int64_t kPackedPanelsOfTask = 4;
// Columns of p^T q that a task computes.
constexpr int64_t kOuterColumns = 32;

int64_t Panels(int64_t columns) { return (columns + kPanel - 1) / kPanel; }
int64_t PanelSize(int64_t summands) { return kPanel * 2 * ((summands + 1) / 2); }

bool OwnProducts(const at::Tensor& x, int64_t summands) {
  return Bf16ProductsHere() != nullptr && x.scalar_type() == at::kBFloat16 &&
         x.size(0) >= kFewestRows && summands <= kMostSummands;
}

// The own kernels read plain memory: what LibTorch's would refuse must not reach them.
void CheckMatrix(const char* name, const at::Tensor& matrix, at::ScalarType type, int64_t rows,
                 int64_t columns) {
  TORCH_CHECK(matrix.dim() == 2 && matrix.size(0) == rows && matrix.size(1) == columns, "The ",
              name, " of a product has sizes ", matrix.sizes(), " and should have [", rows, ", ",
              columns, "].");
  TORCH_CHECK(matrix.scalar_type() == type, "The ", name, " of a product is of ",
              matrix.scalar_type(), " and should be of ", type, " like the other matrices.");
  TORCH_CHECK(columns <= 1 || matrix.stride(1) == 1, "The ", name, " of a product has strides ",
              matrix.strides(), "; the numbers of a row should be consecutive.");
}

void CheckFirst(const char* name, const at::Tensor& matrix) {
  TORCH_CHECK(matrix.dim() == 2, "The ", name, " of a product has ", matrix.dim(),
              " dimensions and should have 2.");
  TORCH_CHECK(matrix.scalar_type() == at::kBFloat16 || matrix.scalar_type() == at::kFloat, "The ",
              name, " of a product is of ", matrix.scalar_type(), " and should be bf16 or fp32.");
}

void CheckTerm(const at::Tensor& x, const at::Tensor& w, bool transposed, const at::Tensor& y) {
  CheckFirst("result", y);
  CheckFirst("first factor", x);
  const int64_t in = x.size(1), out = y.size(1);
  CheckMatrix("result", y, y.scalar_type(), y.size(0), out);
  CheckMatrix("first factor", x, y.scalar_type(), y.size(0), in);
  CheckMatrix("second factor", w, y.scalar_type(), transposed ? out : in, transposed ? in : out);
}

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
    const int64_t panels = Panels(columns_);
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
    return panels * PanelSize(factor.k);
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

void ProductTransposed(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t,
                       const at::Tensor& b, at::Tensor& y) {
  CheckTerm(x, w, /*transposed=*/true, y);
  if (t.defined()) CheckTerm(t, b, /*transposed=*/true, y);
  if (y.numel() == 0) return;
  if (OwnProducts(x, w.size(1))) return RunOwn(x, w, t, b, /*transposed=*/true, y);
  at::mm_out(y, x, w.t());
  if (t.defined()) y.addmm_(t, b.t());
}

void Product(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t, const at::Tensor& a,
             at::Tensor& y) {
  CheckTerm(x, w, /*transposed=*/false, y);
  if (t.defined()) CheckTerm(t, a, /*transposed=*/false, y);
  if (y.numel() == 0) return;
  if (OwnProducts(x, w.size(0))) return RunOwn(x, w, t, a, /*transposed=*/false, y);
  at::mm_out(y, x, w);
  if (t.defined()) y.addmm_(t, a);
}

void AddOuterProducts(std::span<const OuterProduct> products, at::Tensor& memory) {
  if (products.empty()) return;
  for (const OuterProduct& product : products) CheckOuter(product, products[0].p);
  if (OwnProducts(products[0].p, 0)) return AddOwn(products);
  AddOfTorch(products, memory);
}

bool PackedPanels::Here() { return Bf16ProductsHere() != nullptr; }

PackedPanels::PackedPanels(const at::Tensor& w) : out_(w.size(0)), in_(w.size(1)) {
  CheckMatrix("matrix to pack", w, at::kBFloat16, out_, in_);
  const int64_t panels = Panels(out_);
  data_ = at::empty({panels * PanelSize(in_)}, w.options());
  ranges_.resize(panels);
  ParallelRanges(panels, kPackedPanelsOfTask, [&](int64_t begin, int64_t end) {
    Bf16ProductsHere()->pack_transposed(Data<Bf16Bits>(w), w.stride(0), in_, out_, begin, end,
                                        Data<Bf16Bits>(data_), ranges_.data());
  });
}

at::Tensor PackedPanels::Multiply(const at::Tensor& x) const {
  CheckMatrix("first factor", x, at::kBFloat16, x.size(0), in_);
  at::Tensor y = at::empty({x.size(0), out_}, x.options());
  const ProductTerm term{
      Data<Bf16Bits>(x), x.stride(0), {Data<Bf16Bits>(data_), ranges_.data(), in_}};
  const int64_t panels = Panels(out_);
  ParallelTasks((panels + kPackedPanelsOfTask - 1) / kPackedPanelsOfTask, [&](int64_t task) {
    const int64_t begin = task * kPackedPanelsOfTask;
    Bf16ProductsHere()->multiply(&term, 1, x.size(0), begin,
                                 std::min(panels, begin + kPackedPanelsOfTask), out_,
                                 Data<Bf16Bits>(y), out_);
  });
  return y;
}

}  // namespace crossover::llm
