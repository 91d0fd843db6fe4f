// One forward step as the batcher sees it: what is to be computed, and who computes it. No torch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "llm/generate/kv_cache.h"

namespace crossover::llm {

class AdapterWeights;  // llm/generate/adapter_weights.h, for those who see torch.

// New tokens of one sequence in a step: rows [row, row + count), to be appended to `tail`, whose
// pages suffice.
struct StepSequence {
  KvNode* tail = nullptr;
  int64_t row = 0;
  int64_t count = 0;
};

// One adapter of a sum, and what its contribution is multiplied by.
struct AdapterShare {
  std::shared_ptr<const AdapterWeights> weights;
  float weight = 1;
};

// Rows [begin, end) of a step that use the same adapters.
struct AdapterRows {
  int64_t begin = 0;
  int64_t end = 0;
  std::span<const AdapterShare> shares;  // Empty: the base model. Borrowed.
};

struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;
};

struct StepInput {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;
  std::vector<StepSequence> sequences;  // In row order, covering ids.
  std::vector<AdapterRows> adapters;    // In row order, covering ids.
  std::vector<int32_t> logit_rows;      // Rows whose next-token distribution is wanted.
  std::vector<RowRange> pooled;         // Rows whose last hidden states are to be added up.
};

// What a step gave. Usable from several threads.
class StepLogits {
 public:
  virtual ~StepLogits() = default;
  // Logits over the vocabulary after the token of StepInput::logit_rows[row], into memory that the
  // caller uses again: fresh pages for each row of a step would cost more than filling them.
  virtual void Row(int64_t row, std::vector<float>& logits) const = 0;
  // Sum of the last hidden states of the rows StepInput::pooled[range].
  virtual std::vector<float> HiddenSum(int64_t range) const = 0;
};

// Computes steps: ModelRunner, or a double in tests. Used by one thread.
class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // The first call of the thread that makes the others.
  virtual void BindThread() = 0;
  // Appends keys and values to the sequences' tails and counts them as computed. Throws when memory
  // runs out.
  virtual std::unique_ptr<StepLogits> Run(const StepInput& input) = 0;
  // Runs task(0) … task(n-1), each once, perhaps in parallel.
  virtual void ForEach(int64_t n, absl::FunctionRef<void(int64_t task)> task) = 0;
};

}  // namespace crossover::llm
