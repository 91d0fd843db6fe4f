#include "llm/train/adapter_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace crossover::llm {

namespace {

bool Pissa(const TrainConfig& config) { return config.initial == InitialAdapter::kPissa; }

// As given, without PiSSA's second half.
LoraConfig GivenConfig(const TrainConfig& config) {
  LoraConfig out{.rank = config.rank,
                 .alpha = config.alpha,
                 .rslora = config.rslora,
                 .rank_pattern = config.rank_pattern,
                 .alpha_pattern = config.alpha_pattern,
                 .dropout = config.dropout,
                 .dora = config.dora};
  for (const Target target : config.targets) out.target_modules.emplace_back(NameOf(target));
  std::sort(out.target_modules.begin(), out.target_modules.end());
  out.layers.assign(config.layers.begin(), config.layers.end());
  return out;
}

std::vector<LoraLayout::Spec> AdaptedLayers(const ModelConfig& model, const TrainConfig& config) {
  std::vector<LoraLayout::Spec> specs;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    if (!config.layers.empty() && std::ranges::count(config.layers, layer) == 0) continue;
    for (const Target target : config.targets) specs.push_back({layer, target});
  }
  return specs;
}

std::string NameOf(const LoraLayout::Spec& spec) {
  return ModuleName({.layer = spec.layer, .target = spec.target});
}

template <typename T>
void CheckPattern(const std::vector<LoraLayout::Spec>& specs, const char* field,
                  const std::vector<std::pair<std::string, T>>& patterns,
                  std::vector<FieldViolation>& violations) {
  std::vector<int> matches(patterns.size());
  for (const LoraLayout::Spec& spec : specs) {
    const std::pair<std::string, T>* found = nullptr;
    for (size_t i = 0; i < patterns.size(); ++i) {
      if (!LoraConfig::Matches(patterns[i].first, NameOf(spec))) continue;
      ++matches[i];
      if (found != nullptr) {
        violations.push_back({field, absl::StrCat("'", found->first, "' and '", patterns[i].first,
                                                  "' both match ", NameOf(spec))});
        return;
      }
      found = &patterns[i];
    }
  }
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (matches[i] > 0) continue;
    violations.push_back({field, absl::StrCat("'", patterns[i].first,
                                              "' matches no adapted layer; they are named like ",
                                              NameOf(specs.front()))});
  }
}

}  // namespace

LoraLayout PlannedLayout(const ModelConfig& model, const TrainConfig& config) {
  const LoraConfig given = GivenConfig(config);
  std::vector<LoraLayout::Spec> specs = AdaptedLayers(model, config);
  for (LoraLayout::Spec& spec : specs) {
    const std::string name = NameOf(spec);
    spec.rank = given.RankOf(name);
    spec.scale = given.ScaleOf(name);
    spec.dora = config.dora;
    if (!Pissa(config)) continue;
    spec.frozen = spec.rank;
    spec.rank *= 2;
  }
  return LoraLayout(model, std::move(specs));
}

LoraConfig PlannedConfig(const TrainConfig& config, const std::string& base_model_name) {
  LoraConfig out = GivenConfig(config);
  out.base_model = base_model_name;
  if (!Pissa(config)) return out;
  const double factor = config.rslora ? std::sqrt(2.0) : 2.0;
  out.rank *= 2;
  out.alpha *= factor;
  for (auto& [key, rank] : out.rank_pattern) rank *= 2;
  for (auto& [key, alpha] : out.alpha_pattern) alpha *= factor;
  return out;
}

std::vector<FieldViolation> CheckPlan(const ModelConfig& model, const TrainConfig& config) {
  std::vector<FieldViolation> violations;
  for (const int layer : config.layers) {
    if (layer >= 0 && layer < model.layers) continue;
    violations.push_back(
        {"layers", absl::StrCat("names layer ", layer, "; the model has 0 to ", model.layers - 1)});
  }
  if (!violations.empty()) return violations;
  const std::vector<LoraLayout::Spec> specs = AdaptedLayers(model, config);
  CheckPattern(specs, "rank_pattern", config.rank_pattern, violations);
  CheckPattern(specs, "alpha_pattern", config.alpha_pattern, violations);
  if (!violations.empty() || !Pissa(config)) return violations;
  const LoraLayout layout = PlannedLayout(model, config);
  for (const LoraMatrix& matrix : layout.matrices()) {
    const int64_t most = std::min(matrix.in, matrix.out);
    if (matrix.rank - matrix.frozen <= most) continue;
    violations.push_back(
        {"rank", absl::StrCat("is ", matrix.frozen, " for ", ModuleName(matrix), ", which has ",
                              most, " singular vectors for PiSSA to begin with")});
    break;
  }
  return violations;
}

}  // namespace crossover::llm
