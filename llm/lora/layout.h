// Where the matrices of a LoRA adapter stand in one flat buffer of fp32 numbers.
//
// One buffer makes the optimizer, clipping, checkpoints and hashing one call each. Layers that
// share an input are computed together (llm/model/linear.h), so their A matrices stand next to each
// other: per block and group all A [rank, in], then all B [out, rank], then DoRA's magnitudes
// [out].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llm/formats/model_config.h"
#include "llm/lora/target.h"

namespace crossover::llm {

// Stacks of frozen layers that are one matrix product.
enum class Group { kQkv, kO, kGateUp, kDown };
inline constexpr int kGroups = 4;

Group GroupOf(Target target);

// The A and B of one linear layer.
struct LoraMatrix {
  int64_t layer = 0;
  Target target = Target::kQ;
  int64_t rank = 0;
  double scale = 0;  // W' = W + scale B A
  int64_t in = 0;
  int64_t out = 0;
  int64_t out_offset = 0;   // First row of this layer in its group's stack.
  int64_t rank_offset = 0;  // First row of A in its group's stacked A.
  int64_t a_offset = 0;     // In the flat buffer: A [rank, in] …
  int64_t b_offset = 0;     // … and B [out, rank], row-major.
  int64_t m_offset = -1;    // DoRA's magnitudes [out]; -1: none.
  // The last so many rows of A and columns of B are never trained: PiSSA's start, taken away again.
  int64_t frozen = 0;

  int64_t a_size() const { return rank * in; }
  int64_t b_size() const { return out * rank; }
  bool scaled() const { return m_offset >= 0; }
};

class LoraLayout {
 public:
  // Rank and scale of one layer; rank 0: not adapted.
  struct Spec {
    int64_t layer = 0;
    Target target = Target::kQ;
    int64_t rank = 0;
    double scale = 0;
    bool dora = false;
    int64_t frozen = 0;
  };

  // Any order; at most one spec per layer and target.
  LoraLayout(const ModelConfig& config, std::vector<Spec> specs);

  // The same rank and scale for `targets` in every layer.
  static LoraLayout Uniform(const ModelConfig& config, const std::vector<Target>& targets,
                            int64_t rank, double scale);

  int64_t size() const { return size_; }      // Numbers in the flat buffer.
  int64_t layers() const { return layers_; }  // Of the model.
  // By layer, then group, then place in the stack.
  const std::vector<LoraMatrix>& matrices() const { return matrices_; }
  // Those of one group of one layer; may be empty.
  std::vector<const LoraMatrix*> MatricesOf(int64_t layer, Group group) const;
  // Whether any layer has magnitudes.
  bool scaled() const;
  // Sum of ranks in one group of one layer, and its maximum over the layers.
  int64_t RankSum(int64_t layer, Group group) const;
  int64_t MaxRankSum(Group group) const;

 private:
  int64_t layers_ = 0;
  int64_t size_ = 0;
  std::vector<LoraMatrix> matrices_;
};

// "model.layers.3.mlp.up_proj"
std::string ModuleName(const LoraMatrix& matrix);

// Rows of a group's stacked frozen matrix.
int64_t StackRows(const ModelConfig& config, Group group);

}  // namespace crossover::llm
