// Attention of new tokens to cached keys and values. Sees torch.
//
// Tokens of all sequences that stand on one node are multiplied with its keys and values together
// (shared-prefix or cascade attention: Hydragen, arXiv:2402.05099): a common prompt is read once
// per step, not once per sequence. Each (token, node) gives a partial result with its log-sum-exp;
// partial results of a token are then combined exactly.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "llm/generate/kv_cache.h"
#include "llm/generate/step.h"
#include "llm/model/attention.h"

namespace crossover::llm {

// Which rows look at which node, the same for all layers of a step.
class AttentionPlan {
 public:
  AttentionPlan(const AttentionShape& shape, const std::vector<StepSequence>& sequences,
                int64_t rows);

  struct Query {
    int32_t row = 0;
    int32_t visible = 0;  // Keys of the node this row sees.
    int32_t partial = 0;
  };
  struct Task {
    const KvNode* node = nullptr;
    int64_t first = 0;  // Queries [first, first + count) of `queries`.
    int64_t count = 0;
    int64_t visible = 0;  // The most any of them sees.
  };

  std::vector<StepSequence> sequences;
  std::vector<Query> queries;
  std::vector<Task> tasks;
  std::vector<int32_t> first_partial;  // Of each row, and the end.
};

// Whether pages hold bf16 (else fp32) numbers for activations of this type.
int64_t KvItemBytes(at::ScalarType activations);

// qkv [rows, width] after RoPE -> out [rows, heads * head_dim]. Writes keys and values of `layer`
// to the tails' pages first.
class CachedAttention {
 public:
  CachedAttention(AttentionShape shape, KvShape kv);

  void Run(const AttentionPlan& plan, int64_t layer, const at::Tensor& qkv, at::Tensor& out);

 private:
  AttentionShape shape_;
  KvShape kv_;
  std::vector<float> partial_out_;  // [partials, heads, head_dim]
  std::vector<float> partial_lse_;  // [partials, heads]
};

}  // namespace crossover::llm
