#include "llm/generate/cached_attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "llm/model/attention_dispatch.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

static_assert(kPageTokens == kKeyTile && kKeyTile == kAttendKeys);

// Rows of a score tile are (query, head of the group). Sizes are rounded up so that few kernels are
// generated.
int64_t PaddedRows(int64_t rows) {
  return std::max<int64_t>(4, std::bit_ceil(static_cast<uint64_t>(rows)));
}

template <typename T, typename C>
class Step {
 public:
  Step(const AttentionShape& shape, const KvShape& kv, const AttentionPlan& plan, int64_t layer,
       const T* qkv, T* out, float* partial_out, float* partial_lse)
      : shape_(shape),
        kv_(kv),
        plan_(plan),
        layer_(layer),
        qkv_(qkv),
        out_(out),
        partial_out_(partial_out),
        partial_lse_(partial_lse) {}

  // Writes keys and values of one sequence's new tokens.
  void Append(const StepSequence& sequence) const {
    const int64_t dim = shape_.head_dim;
    for (int64_t i = 0; i < sequence.count; ++i) {
      const T* row = qkv_ + (sequence.row + i) * shape_.qkv_width() + shape_.heads * dim;
      const int64_t place = sequence.tail->computed + i;
      std::byte* page = sequence.tail->pages[place / kPageTokens];
      for (int64_t h = 0; h < shape_.kv_heads; ++h) {
        C* keys = reinterpret_cast<C*>(page + kv_.TileOffset(layer_, h, 0));
        C* values = reinterpret_cast<C*>(page + kv_.TileOffset(layer_, h, 1));
        Store(row + h * dim, row + (shape_.kv_heads + h) * dim, place % kPageTokens, keys, values);
      }
    }
  }

  void Run(const AttentionPlan::Task& task, int64_t kv_head) const {
    const int64_t group = shape_.heads / shape_.kv_heads;
    const int64_t rows = task.count * group;
    const int64_t padded = PaddedRows(rows);
    thread_local Scratch<C> query_memory;
    thread_local Scratch<int32_t> visible_memory;
    thread_local Scratch<float> result_memory;
    const int64_t dim = shape_.head_dim;
    C* query = query_memory.Get(padded * dim);
    int32_t* visible = visible_memory.Get(padded);
    float* result = result_memory.Get(padded * (dim + 1));
    float* lse = result + padded * dim;
    Gather(task, kv_head, padded, query, visible);
    if constexpr (sizeof(C) == 2) {
      if (Bf16ProductsHere() != nullptr && dim % kPanel == 0) {
        AttendOwn(task, kv_head, rows, query, visible, result, lse);
        return Keep(task, kv_head, result, lse);
      }
    }
    AttendTiles(task, kv_head, padded, query, visible, result, lse);
    Keep(task, kv_head, result, lse);
  }

  // Combines the partial results of one row: out = sum_i exp(lse_i - lse) out_i.
  void Combine(int64_t row) const {
    const int64_t dim = shape_.head_dim;
    const int64_t first = plan_.first_partial[row], last = plan_.first_partial[row + 1];
    thread_local Scratch<float> sum_memory;
    float* sum = sum_memory.Get(dim);
    for (int64_t head = 0; head < shape_.heads; ++head) {
      float largest = -INFINITY;
      for (int64_t p = first; p < last; ++p)
        largest = std::max(largest, partial_lse_[p * shape_.heads + head]);
      float total = 0;
      std::memset(sum, 0, sizeof(float) * dim);
      for (int64_t p = first; p < last; ++p) {
        const float weight = std::exp(partial_lse_[p * shape_.heads + head] - largest);
        const float* part = partial_out_ + (p * shape_.heads + head) * dim;
        total += weight;
        for (int64_t d = 0; d < dim; ++d) sum[d] += weight * part[d];
      }
      const float factor = 1.0f / total;
      kernels_.store_scaled(sum, dim, &factor, 1, out_ + row * shape_.out_width() + head * dim,
                            shape_.out_width());
    }
  }

 private:
  // Queries of the task's rows and the heads of one group: query [padded, dim].
  void Gather(const AttentionPlan::Task& task, int64_t kv_head, int64_t padded, C* query,
              int32_t* visible) const {
    const int64_t dim = shape_.head_dim;
    const int64_t group = shape_.heads / shape_.kv_heads;
    const int64_t rows = task.count * group;
    std::memset(query + rows * dim, 0, sizeof(C) * (padded - rows) * dim);
    for (int64_t r = 0; r < padded; ++r) {
      const AttentionPlan::Query& q =
          plan_.queries[task.first + std::min(r / group, task.count - 1)];
      visible[r] = q.visible;
      if (r >= rows) continue;
      const int64_t head = kv_head * group + r % group;
      kernels_.copy_rows(qkv_ + q.row * shape_.qkv_width() + head * dim, dim, 1, 1, dim,
                         query + r * dim);
    }
  }

  // By the own kernel, which keeps scores in registers.
  void AttendOwn(const AttentionPlan::Task& task, int64_t kv_head, int64_t rows, const C* query,
                 const int32_t* visible, float* result, float* lse) const {
    const int64_t tiles = (task.visible + kKeyTile - 1) / kKeyTile;
    thread_local Scratch<const C*> tile_memory;
    thread_local Scratch<float> running_memory;
    const C** keys = tile_memory.Get(2 * tiles);
    const C** values = keys + tiles;
    for (int64_t t = 0; t < tiles; ++t) {
      keys[t] = Tile(*task.node, t, kv_head, 0);
      values[t] = Tile(*task.node, t, kv_head, 1);
    }
    Bf16ProductsHere()->attend({.queries = query,
                                .rows = rows,
                                .dim = shape_.head_dim,
                                .keys = keys,
                                .values = values,
                                .tiles = tiles,
                                .visible = visible,
                                .scale = shape_.scale(),
                                .out = result,
                                .lse = lse,
                                .memory = running_memory.Get(17 * rows)});
  }

  // Whole rows of scores, multiplied by oneDNN's small-matrix kernels.
  void AttendTiles(const AttentionPlan::Task& task, int64_t kv_head, int64_t padded, const C* query,
                   const int32_t* visible, float* result, float* lse) const {
    const int64_t dim = shape_.head_dim;
    const int64_t tiles = (task.visible + kKeyTile - 1) / kKeyTile;
    const int64_t ld = kKeyTile * static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tiles)));
    thread_local Scratch<float> score_memory;
    thread_local Scratch<C> weight_memory;
    float* scores = score_memory.Get(padded * (ld + 1));
    float* inverse_sum = scores + padded * ld;
    C* weights = weight_memory.Get(padded * ld);
    for (int64_t t = 0; t < tiles; ++t) {
      const C* keys = Tile(*task.node, t, kv_head, 0);
      TileMultiply(padded, kKeyTile, dim, dim, kKeyTile, ld, false, query, keys,
                   scores + t * kKeyTile);
    }
    kernels_.softmax(scores, ld, padded, visible, tiles * kKeyTile, shape_.scale(), weights,
                     inverse_sum, lse);
    for (int64_t t = 0; t < tiles; ++t) {
      const C* values = Tile(*task.node, t, kv_head, 1);
      TileMultiply(padded, dim, kKeyTile, ld, dim, dim, t > 0, weights + t * kKeyTile, values,
                   result);
    }
    TileRelease<C>();
    for (int64_t r = 0; r < padded; ++r) {
      for (int64_t d = 0; d < dim; ++d) result[r * dim + d] *= inverse_sum[r];
    }
  }

  // To the places of the task's partial results.
  void Keep(const AttentionPlan::Task& task, int64_t kv_head, const float* result,
            const float* lse) const {
    const int64_t dim = shape_.head_dim;
    const int64_t group = shape_.heads / shape_.kv_heads;
    for (int64_t r = 0; r < task.count * group; ++r) {
      const AttentionPlan::Query& q = plan_.queries[task.first + r / group];
      const int64_t place = q.partial * shape_.heads + kv_head * group + r % group;
      partial_lse_[place] = lse[r];
      std::memcpy(partial_out_ + place * dim, result + r * dim, sizeof(float) * dim);
    }
  }

  const C* Tile(const KvNode& node, int64_t tile, int64_t kv_head, int64_t kind) const {
    return reinterpret_cast<const C*>(node.pages[tile] + kv_.TileOffset(layer_, kv_head, kind));
  }

  void Store(const T* key, const T* value, int64_t slot, C* keys, C* values) const {
    const int64_t dim = shape_.head_dim;
    if constexpr (sizeof(C) == 2) {
      for (int64_t d = 0; d < dim; d += 2)
        std::memcpy(keys + (d / 2 * kPageTokens + slot) * 2, key + d, 4);
      for (int64_t d = 0; d < dim; ++d) values[(slot / 2 * dim + d) * 2 + slot % 2] = value[d];
    } else {
      kernels_.transpose(key, dim, 1, 1, dim, values + slot * dim);
      for (int64_t d = 0; d < dim; ++d) keys[d * kPageTokens + slot] = values[slot * dim + d];
      kernels_.copy_rows(value, dim, 1, 1, dim, values + slot * dim);
    }
  }

  const AttentionShape& shape_;
  const KvShape& kv_;
  const AttentionPlan& plan_;
  int64_t layer_;
  const T* qkv_;
  T* out_;
  float* partial_out_;
  float* partial_lse_;
  const AttentionKernels<T, C>& kernels_ = AttentionKernelsOf<T, C>();
};

}  // namespace

int64_t KvItemBytes(at::ScalarType activations) {
  return activations == at::kBFloat16 && TilesInBf16() ? 2 : 4;
}

AttentionPlan::AttentionPlan(const AttentionShape& shape,
                             const std::vector<StepSequence>& step_sequences, int64_t rows)
    : sequences(step_sequences), first_partial(rows + 1, 0) {
  struct Seen {
    const KvNode* node;
    int64_t visible;
  };
  std::vector<std::vector<Query>> by_node;
  std::vector<const KvNode*> nodes;
  std::map<const KvNode*, size_t> index;
  int32_t partials = 0;
  for (const StepSequence& sequence : sequences) {  // In row order.
    std::vector<Seen> chain;
    for (const KvNode* node = sequence.tail; node->parent != nullptr; node = node->parent.get()) {
      chain.push_back({node->parent.get(), node->parent_used});
    }
    for (int64_t i = 0; i < sequence.count; ++i) {
      const int32_t row = static_cast<int32_t>(sequence.row + i);
      first_partial[row] = partials;
      const auto add = [&](const KvNode* node, int64_t visible) {
        const auto [it, fresh] = index.try_emplace(node, nodes.size());
        if (fresh) {
          nodes.push_back(node);
          by_node.emplace_back();
        }
        by_node[it->second].push_back({row, static_cast<int32_t>(visible), partials++});
      };
      for (const Seen& seen : chain) add(seen.node, seen.visible);
      add(sequence.tail, sequence.tail->computed + i + 1);
    }
  }
  first_partial[rows] = partials;
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t per_task = std::max<int64_t>(1, kQueryTile / group);
  for (size_t n = 0; n < nodes.size(); ++n) {
    for (size_t first = 0; first < by_node[n].size(); first += per_task) {
      Task task{nodes[n], static_cast<int64_t>(queries.size()), 0, 0};
      for (size_t i = first; i < std::min(by_node[n].size(), first + per_task); ++i) {
        queries.push_back(by_node[n][i]);
        task.visible = std::max<int64_t>(task.visible, by_node[n][i].visible);
        ++task.count;
      }
      tasks.push_back(task);
    }
  }
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    return a.visible * a.count > b.visible * b.count;
  });
}

CachedAttention::CachedAttention(AttentionShape shape, KvShape kv) : shape_(shape), kv_(kv) {}

void CachedAttention::Run(const AttentionPlan& plan, int64_t layer, const at::Tensor& qkv,
                          at::Tensor& out) {
  const size_t places = plan.queries.size() * shape_.heads;
  if (partial_lse_.size() < places) {
    partial_lse_.resize(places);
    partial_out_.resize(places * shape_.head_dim);
  }
  DispatchTiles(qkv, [&]<typename T, typename C>() {
    const Step<T, C> step(shape_, kv_, plan, layer, Data<T>(qkv), Data<T>(out), partial_out_.data(),
                          partial_lse_.data());
    const int64_t heads = shape_.kv_heads;
    ParallelRanges(static_cast<int64_t>(plan.sequences.size()), 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) step.Append(plan.sequences[i]);
    });
    // One head's tasks after each other: they read the same keys and values.
    const int64_t tasks = static_cast<int64_t>(plan.tasks.size());
    ParallelTasks(tasks * heads, [&](int64_t i) { step.Run(plan.tasks[i % tasks], i / tasks); });
    ParallelRanges(qkv.size(0), 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) step.Combine(row);
    });
  });
}

}  // namespace crossover::llm
