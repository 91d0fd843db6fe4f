#include "llm/model/tensor_rows.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "llm/formats/dequantize.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

// Where row `row` of Hugging Face's order stands in GGUF's (the inverse of HfRowOfGgufRow).
int64_t GgufRowOfHfRow(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  const int64_t half = head_dim / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

// Sizes were checked when the rows were made.
void Check(const absl::Status& status) {
  if (!status.ok()) throw std::logic_error(std::string(status.message()));
}

void DecodeBlocks(TensorType type, std::span<const std::byte> data, std::span<float> out) {
  Check(Dequantize(type, data, out));
}
void DecodeBlocks(TensorType type, std::span<const std::byte> data, std::span<uint16_t> out) {
  Check(DequantizeToBf16(type, data, out));
}

}  // namespace

TensorRows::TensorRows(TensorType type, std::span<const std::byte> data, int64_t rows,
                       int64_t columns, int64_t permuted_head_dim,
                       std::shared_ptr<const void> owner)
    : rows_(rows),
      columns_(columns),
      type_(type),
      data_(data),
      permuted_head_dim_(permuted_head_dim),
      owner_(std::move(owner)) {}

TensorRows::TensorRows(Nf4Tensor tensor, int64_t rows, int64_t columns)
    : rows_(rows), columns_(columns), nf4_(std::move(tensor)) {}

int64_t TensorRows::bytes() const {
  return nf4_.has_value() ? nf4_->bytes() : static_cast<int64_t>(data_.size());
}

bool TensorRows::quantized() const { return nf4_.has_value() || BlockSizeOf(type_).values > 1; }

template <typename T>
void TensorRows::DecodeAny(int64_t begin, int64_t end, T* out) const {
  const auto to = [&](int64_t rows) {
    return std::span<T>(out, static_cast<size_t>(rows * columns_));
  };
  if (nf4_.has_value()) {
    DecodeNf4(*nf4_, begin * columns_, to(end - begin));
    return;
  }
  const int64_t row_bytes = BytesOf(type_, columns_);
  if (permuted_head_dim_ == 0) {
    DecodeBlocks(type_, data_.subspan(begin * row_bytes, (end - begin) * row_bytes),
                 to(end - begin));
    return;
  }
  for (int64_t row = begin; row < end; ++row, out += columns_) {
    const int64_t stored = GgufRowOfHfRow(row, permuted_head_dim_);
    DecodeBlocks(type_, data_.subspan(stored * row_bytes, row_bytes), to(1));
  }
}

void TensorRows::Decode(int64_t begin, int64_t end, float* out) const {
  DecodeAny(begin, end, out);
}
void TensorRows::Decode(int64_t begin, int64_t end, uint16_t* out) const {
  DecodeAny(begin, end, out);
}

TensorRows ToNf4(const TensorRows& rows) {
  const int64_t values = rows.rows() * rows.columns();
  auto codes = std::make_shared<std::vector<std::byte>>(values / 2);
  auto absmax = std::make_shared<std::vector<float>>(values / kNf4Block);
  // As few rows as make whole blocks.
  const int64_t step = kNf4Block / std::gcd(kNf4Block, rows.columns());
  ParallelTasks((rows.rows() + step - 1) / step, [&](int64_t task) {
    const int64_t begin = task * step;
    const int64_t end = std::min(rows.rows(), begin + step);
    thread_local std::vector<float> numbers;
    numbers.resize((end - begin) * rows.columns());
    rows.Decode(begin, end, numbers.data());
    const int64_t first = begin * rows.columns();
    EncodeNf4(numbers, std::span(*codes).subspan(first / 2, numbers.size() / 2),
              std::span(*absmax).subspan(first / kNf4Block, numbers.size() / kNf4Block));
  });
  Nf4Tensor tensor{.values = values, .codes = *codes, .owner = codes, .absmax = absmax};
  return TensorRows(std::move(tensor), rows.rows(), rows.columns());
}

}  // namespace crossover::llm
