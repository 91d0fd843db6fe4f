// A frozen matrix that stays in the bytes of its file and is decoded each time it is multiplied
// with. Sees torch.
//
// A training step multiplies with every matrix twice, with many rows each time, so decoding costs
// little beside the product; what it saves is the full-precision copy of the model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "llm/model/tensor_rows.h"

namespace crossover::llm {

// Memory that decoded matrices are put into, as many pieces as are in use at once: one for each
// thread that computes. Thread-safe.
class DecodeBuffers {
 public:
  struct Buffer {
    std::unique_ptr<std::byte, void (*)(std::byte*)> memory;
    const void* content = nullptr;  // The matrix that was decoded last.
  };

  // Every piece has room for the largest of the sizes told before the first Take.
  void Fit(size_t bytes);
  // Prefers the piece whose content this already is. Throws std::bad_alloc.
  Buffer Take(const void* content);
  void GiveBack(Buffer buffer);

 private:
  std::mutex mutex_;
  size_t bytes_ = 0;
  std::vector<Buffer> free_;
};

class StoredMatrix {
 public:
  // `parts` have equal columns and are stacked; `type` is what they are decoded to (bf16 or fp32).
  StoredMatrix(std::vector<TensorRows> parts, at::ScalarType type,
               std::shared_ptr<DecodeBuffers> buffers);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return parts_[0].columns(); }
  int64_t bytes() const;

  // [rows, columns]. The memory goes back to the buffers with the last copy of the tensor; it is
  // read-only. Throws std::bad_alloc.
  at::Tensor Dense() const;

  // Rows by index to out [count, columns].
  void Gather(const int32_t* indices, int64_t count, at::Tensor& out) const;

 private:
  template <typename T>
  void Decode(int64_t begin, int64_t end, T* out) const;

  std::vector<TensorRows> parts_;
  int64_t rows_ = 0;
  at::ScalarType type_;
  std::shared_ptr<DecodeBuffers> buffers_;
};

}  // namespace crossover::llm
