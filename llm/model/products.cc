#include "llm/model/products.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "llm/model/attention_dispatch.h"
#include "llm/model/own_products.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

// Panels that a task packs and multiplies with.
constexpr int64_t kThinPanels = 4;  // One panel each.
constexpr int64_t kPanelsOfTask = 2;
constexpr int64_t kPanelsOfWideTask = 4;
constexpr int64_t kWidePanels = 128;
// Rows of a task where columns alone are too few for the threads.
constexpr int64_t kRowsOfTask = 96;
// Panels of a packed matrix that a task multiplies with: some ten tasks for the narrowest matrices.
constexpr int64_t kPackedPanelsOfTask = 4;

int64_t Panels(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

void CheckTerm(const at::Tensor& x, const at::Tensor& w, bool transposed, const at::Tensor& y) {
  CheckFirst("result", y);
  CheckFirst("first factor", x);
  const int64_t in = x.size(1), out = y.size(1);
  CheckMatrix("result", y, y.scalar_type(), y.size(0), out);
  CheckMatrix("first factor", x, y.scalar_type(), y.size(0), in);
  CheckMatrix("second factor", w, y.scalar_type(), transposed ? out : in, transposed ? in : out);
}

// One product of a sum, with B as a matrix in memory that is packed on the way.
template <typename T>
struct Factor {
  const T* a;
  int64_t ld_a;
  const T* w;
  int64_t ld_w;
  int64_t k;
};

template <typename T>
Factor<T> FactorOf(const at::Tensor& x, const at::Tensor& w) {
  return {Data<T>(x), x.stride(0), Data<T>(w), w.stride(0), x.size(1)};
}

// Panels [begin, end) and rows [first, last) of one sum of products.
template <typename T>
class SumOfProducts {
 public:
  SumOfProducts(std::vector<Factor<T>> factors, bool transposed, at::Tensor& y)
      : factors_(std::move(factors)),
        transposed_(transposed),
        rows_(y.size(0)),
        columns_(y.size(1)),
        ld_(y.stride(0)),
        y_(Data<T>(y)) {}

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
    thread_local Scratch<T> packed_memory;
    int64_t size = 0;
    for (const Factor<T>& factor : factors_) size += PackedSize(factor, end - begin);
    T* packed = packed_memory.Get(size);
    ProductTerm<T> terms[2];
    StepRange ranges[2][kPanelsOfWideTask];
    for (size_t i = 0; i < factors_.size(); ++i) {
      const Factor<T>& factor = factors_[i];
      const int64_t columns = std::min(columns_, end * kPanel) - begin * kPanel;
      const int64_t step = transposed_ ? factor.ld_w : 1;
      const auto pack = transposed_ ? kernels_->pack_transposed : kernels_->pack;
      pack(factor.w + begin * kPanel * step, factor.ld_w, factor.k, columns, 0, end - begin, packed,
           ranges[i]);
      terms[i] = {factor.a + row * factor.ld_a, factor.ld_a, {packed, ranges[i], factor.k}};
      packed += PackedSize(factor, end - begin);
    }
    kernels_->multiply(terms, static_cast<int>(factors_.size()), last_row - row, 0, end - begin,
                       columns_ - begin * kPanel, y_ + row * ld_ + begin * kPanel, ld_);
  }

  static int64_t PackedSize(const Factor<T>& factor, int64_t panels) {
    return panels * OwnKernels<T>::PanelSize(factor.k);
  }

  const decltype(OwnKernels<T>::Here()) kernels_ = OwnKernels<T>::Here();
  const std::vector<Factor<T>> factors_;
  const bool transposed_;
  const int64_t rows_, columns_, ld_;
  T* const y_;
};

void RunOwn(const at::Tensor& x, const at::Tensor& w, const at::Tensor& t, const at::Tensor& b,
            bool transposed, at::Tensor& y) {
  WithNumbersOf(x, [&]<typename T>() {
    std::vector<Factor<T>> factors = {FactorOf<T>(x, w)};
    if (t.defined()) factors.push_back(FactorOf<T>(t, b));
    SumOfProducts<T>(std::move(factors), transposed, y).Run();
  });
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

bool PackedPanels::Here(at::ScalarType type) {
  return type == at::kFloat ? F32ProductsHere() != nullptr
                            : type == at::kBFloat16 && Bf16ProductsHere() != nullptr;
}

PackedPanels::PackedPanels(const at::Tensor& w) : out_(w.size(0)), in_(w.size(1)) {
  CheckFirst("matrix to pack", w);
  CheckMatrix("matrix to pack", w, w.scalar_type(), out_, in_);
  const int64_t panels = Panels(out_);
  ranges_.resize(panels);
  WithNumbersOf(w, [&]<typename T>() {
    data_ = at::empty({panels * OwnKernels<T>::PanelSize(in_)}, w.options());
    ParallelRanges(panels, kPackedPanelsOfTask, [&](int64_t begin, int64_t end) {
      OwnKernels<T>::Here()->pack_transposed(Data<T>(w), w.stride(0), in_, out_, begin, end,
                                             Data<T>(data_), ranges_.data());
    });
  });
}

at::Tensor PackedPanels::Multiply(const at::Tensor& x) const {
  CheckMatrix("first factor", x, data_.scalar_type(), x.size(0), in_);
  at::Tensor y = at::empty({x.size(0), out_}, x.options());
  const int64_t panels = Panels(out_);
  WithNumbersOf(x, [&]<typename T>() {
    const ProductTerm<T> term{Data<T>(x), x.stride(0), {Data<T>(data_), ranges_.data(), in_}};
    ParallelTasks((panels + kPackedPanelsOfTask - 1) / kPackedPanelsOfTask, [&](int64_t task) {
      const int64_t begin = task * kPackedPanelsOfTask;
      OwnKernels<T>::Here()->multiply(&term, 1, x.size(0), begin,
                                      std::min(panels, begin + kPackedPanelsOfTask), out_,
                                      Data<T>(y), out_);
    });
  });
  return y;
}

}  // namespace crossover::llm
