// One tensor of a model file, decoded row by row when its numbers are wanted. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "llm/formats/nf4.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {

// Rows stand in Hugging Face's order, whatever the file's. Immutable and thread-safe; keeps what it
// reads from (a mapped file, or memory of its own) alive.
class TensorRows {
 public:
  // `data` are exactly the bytes of rows * columns values, rows whole blocks, kept by `owner`.
  // `permuted_head_dim` > 0: GGUF's interleaved rows of heads that long (permute.h).
  TensorRows(TensorType type, std::span<const std::byte> data, int64_t rows, int64_t columns,
             int64_t permuted_head_dim, std::shared_ptr<const void> owner);
  TensorRows(Nf4Tensor tensor, int64_t rows, int64_t columns);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t bytes() const;
  // A type of blocks, not of single numbers.
  bool quantized() const;

  // Rows [begin, end) to end - begin dense rows of numbers or bfloat16 bits. On the calling thread.
  void Decode(int64_t begin, int64_t end, float* out) const;
  void Decode(int64_t begin, int64_t end, uint16_t* out) const;

 private:
  template <typename T>
  void DecodeAny(int64_t begin, int64_t end, T* out) const;

  int64_t rows_;
  int64_t columns_;
  TensorType type_ = TensorType::kF32;
  std::span<const std::byte> data_;
  int64_t permuted_head_dim_ = 0;
  std::shared_ptr<const void> owner_;
  std::optional<Nf4Tensor> nf4_;
};

// The same numbers in NF4, computed a few rows at a time on all threads. The number of values is a
// multiple of 64.
TensorRows ToNf4(const TensorRows& rows);

}  // namespace crossover::llm
