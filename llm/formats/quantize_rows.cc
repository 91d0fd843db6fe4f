#include "llm/formats/quantize_rows.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "llm/formats/dequantize.h"

namespace crossover::llm {
namespace {

// Fewer values than this are not worth a thread.
constexpr int64_t kGrain = 1 << 16;

}  // namespace

absl::Status QuantizeRows(TensorType type, std::span<const float> values, int64_t row,
                          std::span<std::byte> out) {
  const int64_t count = static_cast<int64_t>(values.size());
  const int64_t processors = std::max<int64_t>(1, std::thread::hardware_concurrency());
  const int64_t threads = std::clamp<int64_t>(count / kGrain, 1, processors);
  const bool whole = row > 0 && count % row == 0 && row % BlockSizeOf(type).values == 0 &&
                     static_cast<int64_t>(out.size()) == BytesOf(type, count);
  if (threads == 1 || !whole) return Quantize(type, values, out);
  const int64_t rows = count / row;
  std::vector<absl::Status> results(threads);
  std::vector<std::thread> workers;
  for (int64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      const int64_t begin = rows * t / threads * row;
      const int64_t end = rows * (t + 1) / threads * row;
      results[t] =
          Quantize(type, values.subspan(begin, end - begin),
                   out.subspan(BytesOf(type, begin), BytesOf(type, end) - BytesOf(type, begin)));
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const absl::Status& result : results) {
    if (!result.ok()) return result;
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
