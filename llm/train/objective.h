// What a training minimises over one window of rows. Sees torch.
//
// kSupervised   sum_i w_i (-log p(x_i)) / W, W = sum_i w_i, over the trained tokens i.
// kDistil       as above, but each token with a teacher costs
//               (1 - a) (-log p(x_i)) + a KL(teacher_i || p_i), a = distil_weight.
// both          + kl_weight sum_i w_i KL(base_i || p_i) / W: the base model's own distribution on
//               the trained tokens as a soft target, so that the adapter moves no further than the
//               rows ask for (Li & Hoiem, Learning without Forgetting, arXiv:1606.09282).
// kPreference   sum_r w_r l(m_r) / sum_r w_r over the pairs r, with
//               m = beta ((log p(chosen) - log p_base(chosen)) - (log p(rejected) - log
//               p_base(rejected))) and l(m) = -(1 - e) log s(m) - e log s(-m), s the logistic
//               function, e = label_smoothing (Rafailov et al., arXiv:2305.18290, equation 7; with
//               e equation 3 of Mitchell's note on conservative DPO, as in TRL). log p of an answer
//               is the sum over its tokens, each times its token weight. The reference is the base
//               model: the adapter off.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <vector>

#include "llm/model/base_model.h"
#include "llm/train/loss.h"
#include "llm/train/packer.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// Used by one thread, under InferenceMode. For each pack, in this order: Prepare, the forward pass
// with the adapter, and Evaluate or Gradient with the hidden states it left.
class Objective {
 public:
  using Rows = std::span<const TrainRow* const>;

  virtual ~Objective() = default;

  // The rows laid out so that every term of the loss lies in one pack.
  virtual std::vector<TrainPack> Packs(Rows rows, const PackOptions& options) const = 0;
  // What the sum of losses is divided by.
  virtual double TotalWeight(Rows rows) const = 0;

  // Computes what the base model without adapter says of a pack, where that is needed.
  virtual void Prepare(const TrainPack& pack) = 0;
  // Forward passes of the base model that Prepare makes.
  virtual int reference_passes() const = 0;

  // Rows are those given to Packs.
  virtual LossResult Evaluate(Rows rows, const TrainPack& pack, const at::Tensor& hidden) = 0;
  // d_hidden [as hidden] = gradient of the summed loss times `factor`; overwritten.
  virtual LossResult Gradient(Rows rows, const TrainPack& pack, const at::Tensor& hidden,
                              double factor, at::Tensor& d_hidden) = 0;
};

// Borrows `base`.
std::unique_ptr<Objective> MakeObjective(const BaseModel& base, const TrainConfig& config);

}  // namespace crossover::llm
