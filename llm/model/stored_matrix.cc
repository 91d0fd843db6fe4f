#include "llm/model/stored_matrix.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <new>
#include <utility>

#include "llm/model/kernels.h"
#include "llm/model/parallel.h"
#include "llm/model/tile_multiply.h"

namespace crossover::llm {

namespace {

constexpr std::align_val_t kAlignment{64};

// Numbers that are worth a thread of their own.
constexpr int64_t kStoredGrain = 1 << 15;

void Free(std::byte* memory) { ::operator delete(memory, kAlignment); }

}  // namespace

void DecodeBuffers::Fit(size_t bytes) { bytes_ = std::max(bytes_, bytes); }

DecodeBuffers::Buffer DecodeBuffers::Take(const void* content) {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      const auto same = std::find_if(free_.begin(), free_.end(),
                                     [&](const Buffer& b) { return b.content == content; });
      const auto chosen = same != free_.end() ? same : free_.begin();
      Buffer buffer = std::move(*chosen);
      free_.erase(chosen);
      return buffer;
    }
  }
  return {{static_cast<std::byte*>(::operator new(bytes_, kAlignment)), Free}, nullptr};
}

void DecodeBuffers::GiveBack(Buffer buffer) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(buffer));
}

StoredMatrix::StoredMatrix(std::vector<TensorRows> parts, at::ScalarType type,
                           std::shared_ptr<DecodeBuffers> buffers)
    : parts_(std::move(parts)), type_(type), buffers_(std::move(buffers)) {
  for (const TensorRows& part : parts_) rows_ += part.rows();
  buffers_->Fit(static_cast<size_t>(rows_ * columns()) * c10::elementSize(type));
}

int64_t StoredMatrix::bytes() const {
  int64_t sum = 0;
  for (const TensorRows& part : parts_) sum += part.bytes();
  return sum;
}

template <typename T>
void StoredMatrix::Decode(int64_t begin, int64_t end, T* out) const {
  int64_t first = 0;  // Of the part, in the stack.
  for (const TensorRows& part : parts_) {
    const int64_t from = std::max(begin, first), to = std::min(end, first + part.rows());
    if (from < to) part.Decode(from - first, to - first, out + (from - begin) * columns());
    first += part.rows();
  }
}

at::Tensor StoredMatrix::Dense() const {
  auto buffer = std::make_shared<DecodeBuffers::Buffer>(buffers_->Take(this));
  std::byte* memory = buffer->memory.get();
  at::Tensor dense = at::from_blob(
      memory, {rows_, columns()},
      [buffers = buffers_, buffer](void*) { buffers->GiveBack(std::move(*buffer)); },
      at::TensorOptions().dtype(type_));
  if (buffer->content == this) return dense;
  buffer->content = nullptr;
  ParallelRanges(rows_, std::max<int64_t>(1, kStoredGrain / columns()),
                 [&](int64_t begin, int64_t end) {
                   if (type_ == at::kFloat) {
                     Decode(begin, end, reinterpret_cast<float*>(memory) + begin * columns());
                   } else {
                     Decode(begin, end, reinterpret_cast<Bf16Bits*>(memory) + begin * columns());
                   }
                 });
  buffer->content = this;
  return dense;
}

void StoredMatrix::Gather(const int32_t* indices, int64_t count, at::Tensor& out) const {
  ParallelRanges(count, std::max<int64_t>(1, kStoredGrain / columns()),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     if (type_ == at::kFloat) {
                       Decode(indices[i], indices[i] + 1, Data<float>(out) + i * columns());
                     } else {
                       Decode(indices[i], indices[i] + 1, Data<Bf16Bits>(out) + i * columns());
                     }
                   }
                 });
}

}  // namespace crossover::llm
