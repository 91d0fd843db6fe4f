// Cross-entropy with soft targets beside the data's token: a teacher's most likely tokens, the base
// model's distribution, or both (objective.h). Sees torch.
//
// Of a teacher only the k most likely tokens are known. The rest of the vocabulary is one further
// outcome, for the teacher and for the model:
//   KL(q || p) = sum_k q_k log(q_k / p_k) + q_rest log(q_rest / p_rest),
// which is a lower bound of the whole divergence (log-sum inequality) and 0 where they agree;
// renormalising q over its k tokens would teach an overconfident model instead (Anshumann et al.,
// arXiv:2503.16870).
#pragma once

#include <optional>

#include "llm/model/decoder.h"
#include "llm/train/objective.h"

namespace crossover::llm {

class SoftTargetObjective final : public Objective {
 public:
  SoftTargetObjective(const BaseModel& base, const TrainConfig& config);

  std::vector<TrainPack> Packs(Rows rows, const PackOptions& options) const override;
  double TotalWeight(Rows rows) const override;
  void Prepare(const TrainPack& pack) override;
  int reference_passes() const override { return reference_.has_value() ? 1 : 0; }
  // The cross-entropy alone, so that runs with different weights can be compared.
  LossResult Evaluate(Rows rows, const TrainPack& pack, const at::Tensor& hidden) override;
  LossResult Gradient(Rows rows, const TrainPack& pack, const at::Tensor& hidden, double factor,
                      at::Tensor& d_hidden) override;

 private:
  // Overwrites a chunk's logits with their gradient and adds its losses to `result`.
  void Turn(Rows rows, std::span<const LossEntry> chunk, double factor, at::Tensor& logits,
            LossResult& result);

  const BaseModel& base_;
  const double teacher_share_, kl_weight_;
  LossHead head_;
  std::optional<Activations> reference_;  // With kl_weight.
};

}  // namespace crossover::llm
