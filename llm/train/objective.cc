#include "llm/train/objective.h"

#include "llm/model/weights.h"
#include "llm/train/objective_preference.h"
#include "llm/train/objective_soft.h"

namespace crossover::llm {

namespace {

// Plain cross-entropy.
class Supervised final : public Objective {
 public:
  explicit Supervised(const BaseModel& base) : head_(base.weights().head) {}

  std::vector<TrainPack> Packs(Rows rows, const PackOptions& options) const override {
    return PackRows(rows, options);
  }
  double TotalWeight(Rows rows) const override { return llm::TotalWeight(rows); }
  void Prepare(const TrainPack&) override {}
  int reference_passes() const override { return 0; }
  LossResult Evaluate(Rows, const TrainPack& pack, const at::Tensor& hidden) override {
    return head_.Evaluate(pack.entries, hidden);
  }
  LossResult Gradient(Rows, const TrainPack& pack, const at::Tensor& hidden, double factor,
                      at::Tensor& d_hidden) override {
    return head_.Gradient(pack.entries, hidden, factor, d_hidden);
  }

 private:
  LossHead head_;
};

}  // namespace

std::unique_ptr<Objective> MakeObjective(const BaseModel& base, const TrainConfig& config) {
  if (config.objective == ObjectiveKind::kPreference) {
    return std::make_unique<PreferenceObjective>(base, config);
  }
  if (config.objective == ObjectiveKind::kDistil || config.kl_weight > 0) {
    return std::make_unique<SoftTargetObjective>(base, config);
  }
  return std::make_unique<Supervised>(base);
}

}  // namespace crossover::llm
