// Direct preference optimisation (objective.h has the formula). Sees torch.
//
// Both answers of a pair stand in one pack, after their common prompt; the reference is a forward
// pass of the same pack without the adapter. The gradient of a pair is that of two weighted sums of
// token losses, so its logits, too, exist for trained tokens only.
#pragma once

#include "llm/model/decoder.h"
#include "llm/train/objective.h"

namespace crossover::llm {

class PreferenceObjective final : public Objective {
 public:
  PreferenceObjective(const BaseModel& base, const TrainConfig& config);

  std::vector<TrainPack> Packs(Rows rows, const PackOptions& options) const override;
  double TotalWeight(Rows rows) const override;
  void Prepare(const TrainPack& pack) override;
  int reference_passes() const override { return 1; }
  // Counts the tokens of preferred answers only.
  LossResult Evaluate(Rows rows, const TrainPack& pack, const at::Tensor& hidden) override;
  LossResult Gradient(Rows rows, const TrainPack& pack, const at::Tensor& hidden, double factor,
                      at::Tensor& d_hidden) override;

 private:
  struct Scored {
    LossResult result;
    std::vector<double> slopes;  // By row: derivative of its loss by its margin / beta.
  };
  Scored Score(Rows rows, const TrainPack& pack, const TokenLosses& losses) const;

  const BaseModel& base_;
  const double beta_, smoothing_;
  LossHead head_;
  Activations reference_activations_;
  TokenLosses reference_;  // Of the pack given to Prepare.
};

}  // namespace crossover::llm
