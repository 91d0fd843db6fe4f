// Gradient of attention.cc. Scores are computed again, transposed ([key][query]), so that both
// weight gradients take the tiles as they come:
//   P^T = exp(scale K Q^T - lse), dP^T = V dO^T, dS^T = scale P^T (dP^T - rowsum(dO O)),
//   dV = P^T dO, dK = dS^T Q, dQ^T = K^T dS^T.
// Keys of an ancestor get a gradient from every segment below it: each task leaves its share in a
// slot of its own, and a second pass adds the slots in a fixed order.
#include <ATen/Context.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "llm/model/attention.h"
#include "llm/model/attention_dispatch.h"
#include "llm/model/parallel.h"

namespace crossover::llm {

namespace {

// Where each (segment, kv head) task leaves gradients of keys it does not own alone.
struct SlotPlan {
  std::vector<bool> has_children;
  std::vector<int64_t>
      rows;  // Of the slot of a segment: its context, and itself if it has children.
  std::vector<int64_t>
      offset;  // First row of the slot, for kv head 0; the next kv head follows after rows.
  int64_t total = 0;
};

SlotPlan PlanSlots(const AttentionShape& shape, const Pack& pack) {
  SlotPlan plan;
  const size_t n = pack.segments.size();
  plan.has_children.assign(n, false);
  for (const Segment& segment : pack.segments) {
    if (segment.parent >= 0) plan.has_children[segment.parent] = true;
  }
  for (size_t s = 0; s < n; ++s) {
    const Segment& segment = pack.segments[s];
    plan.rows.push_back(segment.context + (plan.has_children[s] ? segment.size() : 0));
    plan.offset.push_back(plan.total);
    plan.total += plan.rows.back() * shape.kv_heads;
  }
  return plan;
}

template <typename T, typename C>
class Backward {
 public:
  Backward(const AttentionShape& shape, const Pack& pack, const SlotPlan& plan, const T* qkv,
           const T* out, const float* lse, const T* d_out, T* d_qkv, float* slots)
      : shape_(shape),
        pack_(pack),
        plan_(plan),
        qkv_(qkv),
        out_(out),
        lse_(lse),
        d_out_(d_out),
        d_qkv_(d_qkv),
        slots_(slots) {}

  // First pass: queries of one segment for the heads of one kv head.
  void Run(int index, int64_t kv_head) const {
    const Segment& segment = pack_.segments[index];
    const int64_t dim = shape_.head_dim;
    const int64_t group = shape_.heads / shape_.kv_heads;
    const int64_t seen = segment.context + segment.size();
    const int64_t tiles = (seen + kKeyTile - 1) / kKeyTile;
    thread_local Keys keys;
    Prepare(index, kv_head, seen, tiles, keys);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (int64_t q = 0; q < segment.size(); q += kQueryTile) {
        QueryTile(segment.begin + q, std::min(kQueryTile, segment.size() - q), segment.context + q,
                  head, keys);
      }
    }
    TileRelease<C>();
    StoreKeyGradients(index, kv_head, keys.d_keys.Get(0), dim, (shape_.heads + kv_head) * dim, 0);
    StoreKeyGradients(index, kv_head, keys.d_values.Get(0), dim,
                      (shape_.heads + shape_.kv_heads + kv_head) * dim, 1);
  }

  // Second pass: a segment with children adds what they left.
  void Reduce(int index, int64_t kv_head) const {
    const int64_t dim = shape_.head_dim;
    const Segment& segment = pack_.segments[index];
    thread_local Scratch<float> sum_memory;
    float* sum = sum_memory.Get(segment.size() * dim);
    for (int64_t kind = 0; kind < 2; ++kind) {
      std::memset(sum, 0, sizeof(float) * segment.size() * dim);
      for (int s = index; s < static_cast<int>(pack_.segments.size()); ++s) {
        if (!IsBelow(s, index)) continue;
        Kernels().flat.add(sum, Slot(s, kv_head, kind) + segment.context * dim,
                           segment.size() * dim);
      }
      const int64_t column = (shape_.heads + kind * shape_.kv_heads + kv_head) * dim;
      RowKernelsOf<T>().cast(sum, dim, 1.0f, segment.size(), dim,
                             d_qkv_ + segment.begin * shape_.qkv_width() + column,
                             shape_.qkv_width());
    }
  }

 private:
  // Operands of one task.
  struct Keys {
    Scratch<T> dense;
    Scratch<C> keys, keys_transposed, values;
    Scratch<float> d_keys, d_values;
  };

  void Prepare(int index, int64_t kv_head, int64_t seen, int64_t tiles, Keys& keys) const {
    const int64_t dim = shape_.head_dim;
    const int64_t tile = kKeyTile * dim;
    T* dense = keys.dense.Get(seen * dim);
    C* k = keys.keys.Get(tiles * tile);
    C* kt = keys.keys_transposed.Get(tiles * tile);
    C* v = keys.values.Get(tiles * tile);
    GatherRows(pack_, index, qkv_, shape_.qkv_width(), (shape_.heads + kv_head) * dim, dim, dense);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t rows = std::min(kKeyTile, seen - t * kKeyTile);
      kernels_.copy_rows(dense + t * tile, dim, rows, kKeyTile, dim, k + t * tile);
      kernels_.transpose(dense + t * tile, dim, rows, kKeyTile, dim, kt + t * tile);
    }
    GatherRows(pack_, index, qkv_, shape_.qkv_width(),
               (shape_.heads + shape_.kv_heads + kv_head) * dim, dim, dense);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t rows = std::min(kKeyTile, seen - t * kKeyTile);
      kernels_.copy_rows(dense + t * tile, dim, rows, kKeyTile, dim, v + t * tile);
    }
    std::memset(keys.d_keys.Get(tiles * tile), 0, sizeof(float) * tiles * tile);
    std::memset(keys.d_values.Get(tiles * tile), 0, sizeof(float) * tiles * tile);
  }

  void QueryTile(int64_t token, int64_t rows, int64_t position, int64_t head, Keys& keys) const {
    const int64_t dim = shape_.head_dim;
    const int64_t tile = kKeyTile * dim;
    const int64_t tiles = (position + rows + kKeyTile - 1) / kKeyTile;
    thread_local Scratch<C> c_memory;
    thread_local Scratch<float> f_memory;
    C* query_t = c_memory.Get(4 * kQueryTile * dim + 3 * kKeyTile * kQueryTile);
    C* query = query_t + kQueryTile * dim;
    C* d_out_t = query + kQueryTile * dim;
    C* d_out = d_out_t + kQueryTile * dim;
    C* p = d_out + kQueryTile * dim;
    C* ds = p + kKeyTile * kQueryTile;
    C* ds_packed = ds + kKeyTile * kQueryTile;
    float* s = f_memory.Get(2 * kKeyTile * kQueryTile + dim * kQueryTile);
    float* dp = s + kKeyTile * kQueryTile;
    float* d_query_t = dp + kKeyTile * kQueryTile;
    int32_t visible[kQueryTile] = {};
    float lse[kQueryTile] = {}, delta[kQueryTile] = {};

    const int64_t ld = shape_.qkv_width();
    const int64_t ld_out = shape_.out_width();
    const T* q = qkv_ + token * ld + head * dim;
    const T* g = d_out_ + token * ld_out + head * dim;
    for (int64_t i = 0; i < rows; ++i) {
      visible[i] = static_cast<int32_t>(position + i + 1);
      lse[i] = lse_[(token + i) * shape_.heads + head];
    }
    kernels_.row_dot(g, ld_out, out_ + token * ld_out + head * dim, ld_out, rows, dim, delta);
    kernels_.pack_transposed(q, ld, rows, kQueryTile, dim, query_t);
    kernels_.pack(q, ld, rows, kQueryTile, dim, query);
    kernels_.pack_transposed(g, ld_out, rows, kQueryTile, dim, d_out_t);
    kernels_.pack(g, ld_out, rows, kQueryTile, dim, d_out);
    for (int64_t t = 0; t < tiles; ++t) {
      TileMultiply(kKeyTile, kQueryTile, dim, dim, kQueryTile, kQueryTile, false,
                   keys.keys.Get(0) + t * tile, query_t, s);
      TileMultiply(kKeyTile, kQueryTile, dim, dim, kQueryTile, kQueryTile, false,
                   keys.values.Get(0) + t * tile, d_out_t, dp);
      kernels_.backward_tile(s, dp, kKeyTile, kQueryTile, t * kKeyTile, visible, lse, delta,
                             shape_.scale(), p, ds, ds_packed);
      TileMultiply(kKeyTile, dim, kQueryTile, kQueryTile, dim, dim, true, p, d_out,
                   keys.d_values.Get(0) + t * tile);
      TileMultiply(kKeyTile, dim, kQueryTile, kQueryTile, dim, dim, true, ds, query,
                   keys.d_keys.Get(0) + t * tile);
      TileMultiply(dim, kQueryTile, kKeyTile, kKeyTile, kQueryTile, kQueryTile, t > 0,
                   keys.keys_transposed.Get(0) + t * tile, ds_packed, d_query_t);
    }
    kernels_.store_transposed(d_query_t, kQueryTile, dim, rows, d_qkv_ + token * ld + head * dim,
                              ld);
  }

  void StoreKeyGradients(int index, int64_t kv_head, const float* gradient, int64_t dim,
                         int64_t column, int64_t kind) const {
    const Segment& segment = pack_.segments[index];
    if (plan_.rows[index] > 0)
      std::memcpy(Slot(index, kv_head, kind), gradient, sizeof(float) * plan_.rows[index] * dim);
    if (plan_.has_children[index]) return;
    RowKernelsOf<T>().cast(gradient + segment.context * dim, dim, 1.0f, segment.size(), dim,
                           d_qkv_ + segment.begin * shape_.qkv_width() + column,
                           shape_.qkv_width());
  }

  // kind 0: keys, 1: values.
  float* Slot(int index, int64_t kv_head, int64_t kind) const {
    return slots_ + (kind * plan_.total + plan_.offset[index] + kv_head * plan_.rows[index]) *
                        shape_.head_dim;
  }

  bool IsBelow(int index, int ancestor) const {
    while (index > ancestor) index = pack_.segments[index].parent;
    return index == ancestor;
  }

  const AttentionShape& shape_;
  const Pack& pack_;
  const SlotPlan& plan_;
  const T* qkv_;
  const T* out_;
  const float* lse_;
  const T* d_out_;
  T* d_qkv_;
  float* slots_;
  const AttentionKernels<T, C>& kernels_ = AttentionKernelsOf<T, C>();
};

}  // namespace

void AttentionBackward(const AttentionShape& shape, const Pack& pack, const at::Tensor& qkv,
                       const at::Tensor& out, const at::Tensor& lse, const at::Tensor& d_out,
                       at::Tensor& d_qkv) {
  const SlotPlan plan = PlanSlots(shape, pack);
  thread_local Scratch<float> slot_memory;
  float* slots = slot_memory.Get(2 * plan.total * shape.head_dim);
  std::vector<int> order(pack.segments.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  const auto cost = [&](int s) {
    return pack.segments[s].size() * (pack.segments[s].context + pack.segments[s].size());
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return cost(a) > cost(b); });
  std::vector<int> parents;
  for (size_t s = 0; s < plan.has_children.size(); ++s) {
    if (plan.has_children[s]) parents.push_back(static_cast<int>(s));
  }
  DispatchTiles(qkv, [&]<typename T, typename C>() {
    const Backward<T, C> backward(shape, pack, plan, Data<T>(qkv), Data<T>(out), Data<float>(lse),
                                  Data<T>(d_out), Data<T>(d_qkv), slots);
    const int64_t heads = shape.kv_heads;
    ParallelTasks(static_cast<int64_t>(order.size()) * heads,
                  [&](int64_t i) { backward.Run(order[i / heads], i % heads); });
    ParallelTasks(static_cast<int64_t>(parents.size()) * heads,
                  [&](int64_t i) { backward.Reduce(parents[i / heads], i % heads); });
  });
}

}  // namespace crossover::llm
