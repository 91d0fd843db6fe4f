#include "llm/model/attention.h"

#include <ATen/Context.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "llm/model/attention_dispatch.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

float AttentionShape::scale() const { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

bool TilesInBf16() {
#if defined(__x86_64__)
  static const bool supported =
      __builtin_cpu_supports("avx512bf16") != 0 && at::globalContext().userEnabledMkldnn();
  return supported;
#else
  return false;
#endif
}

namespace {

// Long segments are cut into this many queries so that one long row uses all threads.
constexpr int64_t kQueriesPerTask = 512;

struct ForwardTask {
  int segment;
  int64_t kv_head;
  int64_t first_query;  // Within the segment.
  int64_t queries;
};

std::vector<ForwardTask> ForwardTasks(const AttentionShape& shape, const Pack& pack) {
  std::vector<ForwardTask> tasks;
  for (int s = 0; s < static_cast<int>(pack.segments.size()); ++s) {
    const int64_t size = pack.segments[s].size();
    for (int64_t first = 0; first < size; first += kQueriesPerTask) {
      for (int64_t head = 0; head < shape.kv_heads; ++head) {
        tasks.push_back({s, head, first, std::min(kQueriesPerTask, size - first)});
      }
    }
  }
  const auto cost = [&](const ForwardTask& t) {
    return t.queries * (pack.segments[t.segment].context + t.first_query + t.queries);
  };
  std::stable_sort(tasks.begin(), tasks.end(),
                   [&](const auto& a, const auto& b) { return cost(a) > cost(b); });
  return tasks;
}

template <typename T, typename C>
class Forward {
 public:
  Forward(const AttentionShape& shape, const Pack& pack, const T* qkv, T* out, float* lse)
      : shape_(shape), pack_(pack), qkv_(qkv), out_(out), lse_(lse) {}

  void Run(const ForwardTask& task) const {
    const Segment& segment = pack_.segments[task.segment];
    const int64_t dim = shape_.head_dim;
    const int64_t group = shape_.heads / shape_.kv_heads;
    thread_local Scratch<C> keys, values;
    PackKeysAndValues(task, keys, values);
    for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
      for (int64_t q = task.first_query; q < task.first_query + task.queries; q += kQueryTile) {
        const int64_t rows = std::min(kQueryTile, task.first_query + task.queries - q);
        QueryTile(segment.begin + q, rows, segment.context + q, head * dim, head, keys.Get(0),
                  values.Get(0));
      }
    }
    TileRelease<C>();
  }

 private:
  void PackKeysAndValues(const ForwardTask& task, Scratch<C>& keys, Scratch<C>& values) const {
    const Segment& segment = pack_.segments[task.segment];
    const int64_t dim = shape_.head_dim;
    const int64_t seen = segment.context + segment.size();
    const int64_t tiles =
        (segment.context + task.first_query + task.queries + kKeyTile - 1) / kKeyTile;
    thread_local Scratch<T> dense;
    C* k = keys.Get(tiles * kKeyTile * dim);
    C* v = values.Get(tiles * kKeyTile * dim);
    T* rows = dense.Get(seen * dim);
    const auto gather = [&](int64_t first_head) {
      GatherRows(pack_, task.segment, qkv_, shape_.qkv_width(), (first_head + task.kv_head) * dim,
                 dim, rows);
    };
    const auto for_tiles = [&](auto kernel, C* to) {
      for (int64_t t = 0; t < tiles; ++t) {
        kernel(rows + t * kKeyTile * dim, dim, std::min(kKeyTile, seen - t * kKeyTile), kKeyTile,
               dim, to + t * kKeyTile * dim);
      }
    };
    gather(shape_.heads);
    for_tiles(kernels_.pack_transposed, k);
    gather(shape_.heads + shape_.kv_heads);
    for_tiles(kernels_.pack, v);
  }

  // `position` is the first query's place in its sequence: it sees position + 1 keys.
  void QueryTile(int64_t token, int64_t rows, int64_t position, int64_t column, int64_t head,
                 const C* keys, const C* values) const {
    const int64_t dim = shape_.head_dim;
    const int64_t tiles = (position + rows + kKeyTile - 1) / kKeyTile;
    const int64_t ld = kKeyTile * static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tiles)));
    thread_local Scratch<float> scores_memory, out_memory;
    thread_local Scratch<C> query_memory, weights_memory;
    float* scores = scores_memory.Get(kQueryTile * ld);
    C* weights = weights_memory.Get(kQueryTile * ld);
    C* query = query_memory.Get(kQueryTile * dim);
    float* out = out_memory.Get(kQueryTile * dim);
    int32_t visible[kQueryTile];
    float inverse_sum[kQueryTile], lse[kQueryTile];
    for (int64_t i = 0; i < kQueryTile; ++i)
      visible[i] = static_cast<int32_t>(position + std::min(i, rows - 1) + 1);

    kernels_.copy_rows(qkv_ + token * shape_.qkv_width() + column, shape_.qkv_width(), rows,
                       kQueryTile, dim, query);
    for (int64_t t = 0; t < tiles; ++t) {
      TileMultiply(kQueryTile, kKeyTile, dim, dim, kKeyTile, ld, false, query,
                   keys + t * kKeyTile * dim, scores + t * kKeyTile);
    }
    kernels_.softmax(scores, ld, kQueryTile, visible, tiles * kKeyTile, shape_.scale(), weights,
                     inverse_sum, lse);
    for (int64_t t = 0; t < tiles; ++t) {
      TileMultiply(kQueryTile, dim, kKeyTile, ld, dim, dim, t > 0, weights + t * kKeyTile,
                   values + t * kKeyTile * dim, out);
    }
    kernels_.store_scaled(out, dim, inverse_sum, rows, out_ + token * shape_.out_width() + column,
                          shape_.out_width());
    for (int64_t i = 0; i < rows; ++i) lse_[(token + i) * shape_.heads + head] = lse[i];
  }

  const AttentionShape& shape_;
  const Pack& pack_;
  const T* qkv_;
  T* out_;
  float* lse_;
  const AttentionKernels<T, C>& kernels_ = AttentionKernelsOf<T, C>();
};

}  // namespace

void AttentionForward(const AttentionShape& shape, const Pack& pack, const at::Tensor& qkv,
                      at::Tensor& out, at::Tensor& lse) {
  const std::vector<ForwardTask> tasks = ForwardTasks(shape, pack);
  DispatchTiles(qkv, [&]<typename T, typename C>() {
    const Forward<T, C> forward(shape, pack, Data<T>(qkv), Data<T>(out), Data<float>(lse));
    ParallelTasks(static_cast<int64_t>(tasks.size()), [&](int64_t i) { forward.Run(tasks[i]); });
  });
}

}  // namespace crossover::llm
