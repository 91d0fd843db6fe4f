#include "services/training_scheduler/domain/techniques.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace crossover::scheduler {
namespace {

class Checker {
 public:
  void Add(std::string field, std::string description) {
    violations_.push_back({std::move(field), std::move(description)});
  }
  void Range(const char* field, const std::optional<double>& value, double low, double high) {
    if (!value.has_value() || (*value >= low && *value <= high)) return;
    Add(field,
        absl::StrFormat("is %g; must be between %g and %g, or absent for auto", *value, low, high));
  }
  void Positive(const char* field, const std::optional<double>& value, double high) {
    if (!value.has_value() || (*value > 0 && *value <= high)) return;
    Add(field, absl::StrFormat("is %g; must be greater than 0 and at most %g, or absent for auto",
                               *value, high));
  }
  std::vector<FieldViolation> Take() { return std::move(violations_); }

 private:
  std::vector<FieldViolation> violations_;
};

void CheckPatterns(const TechniqueSpec& spec, Checker& check) {
  for (const auto& [key, rank] : spec.rank_pattern) {
    if (rank >= 1 && rank <= 512) continue;
    check.Add("adapter.rank_pattern",
              absl::StrFormat("has %d for '%s'; must be between 1 and 512", rank, key));
  }
  for (const auto& [key, alpha] : spec.alpha_pattern) {
    if (alpha > 0 && alpha <= 4096) continue;
    check.Add(
        "adapter.alpha_pattern",
        absl::StrFormat("has %g for '%s'; must be greater than 0 and at most 4096", alpha, key));
  }
  for (const int32_t layer : spec.layers) {
    if (layer >= 0 && layer < 10000) continue;
    check.Add("adapter.layers", absl::StrCat("has ", layer, "; must be indices of layers, from 0"));
  }
}

}  // namespace

std::vector<FieldViolation> CheckTechniques(const TechniqueSpec& spec, bool wsd, bool continues) {
  Checker check;
  check.Range("adapter.dropout", spec.dropout, 0, 0.9);
  CheckPatterns(spec, check);
  check.Positive("decay_share", spec.decay_share, 1);
  check.Positive("lora_plus_ratio", spec.lora_plus_ratio, 128);
  check.Range("embedding_noise", spec.embedding_noise, 0, 100);
  if (spec.decay_share.has_value() && !wsd) {
    check.Add("decay_share", "is set; only the schedule WSD has it");
  }
  if (continues && spec.initial == InitialAdapter::kPissa) {
    check.Add("adapter.initial",
              "is PISSA; a job that goes on from an adapter (initial_adapter) begins with that");
  }
  return check.Take();
}

ResolvedTechniques ResolveTechniques(const TechniqueSpec& spec) {
  const ResolvedTechniques automatic;
  return {.dropout = spec.dropout.value_or(automatic.dropout),
          .layers = spec.layers,
          .rank_pattern = spec.rank_pattern,
          .alpha_pattern = spec.alpha_pattern,
          .dora = spec.dora.value_or(automatic.dora),
          .initial = spec.initial.value_or(automatic.initial),
          .decay_share = spec.decay_share.value_or(automatic.decay_share),
          .lora_plus_ratio = spec.lora_plus_ratio.value_or(automatic.lora_plus_ratio),
          .embedding_noise = spec.embedding_noise.value_or(automatic.embedding_noise),
          .activations = spec.activations};
}

std::string_view Name(InitialAdapter initial) {
  return initial == InitialAdapter::kPissa ? "PISSA" : "UNIFORM";
}

std::string_view Name(ActivationPolicy policy) {
  return policy == ActivationPolicy::kKeep ? "KEEP" : "RECOMPUTE";
}

std::optional<InitialAdapter> ParseInitialAdapter(std::string_view name) {
  if (name == "UNIFORM") return InitialAdapter::kUniform;
  if (name == "PISSA") return InitialAdapter::kPissa;
  return std::nullopt;
}

std::optional<ActivationPolicy> ParseActivationPolicy(std::string_view name) {
  if (name == "KEEP") return ActivationPolicy::kKeep;
  if (name == "RECOMPUTE") return ActivationPolicy::kRecompute;
  return std::nullopt;
}

}  // namespace crossover::scheduler
