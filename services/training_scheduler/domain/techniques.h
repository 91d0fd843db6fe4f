// Techniques of training beyond plain LoRA with AdamW: their fields of a TrainingSpec, their ranges
// and what "auto" means for them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/error.h"

namespace crossover::scheduler {

enum class InitialAdapter { kUniform, kPissa };
enum class ActivationPolicy { kKeep, kRecompute };

// Absent fields are "auto". Names are those of the proto.
struct TechniqueSpec {
  std::optional<double> dropout;                // adapter.dropout, 0..0.9
  std::vector<int32_t> layers;                  // adapter.layers, 0..9999; empty = all
  std::map<std::string, int64_t> rank_pattern;  // adapter.rank_pattern, 1..512
  std::map<std::string, double> alpha_pattern;  // adapter.alpha_pattern, > 0, at most 4096
  std::optional<bool> dora;                     // adapter.dora
  std::optional<InitialAdapter> initial;        // adapter.initial
  std::optional<double> decay_share;            // > 0, at most 1; only with schedule WSD
  std::optional<double> lora_plus_ratio;        // > 0, at most 128
  std::optional<double> embedding_noise;        // 0..100
  std::optional<ActivationPolicy> activations;
};

// Every number frozen. Absent activations: by the worker's memory, which changes no bit.
struct ResolvedTechniques {
  double dropout = 0;
  std::vector<int32_t> layers;
  std::map<std::string, int64_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  bool dora = false;
  InitialAdapter initial = InitialAdapter::kUniform;
  double decay_share = 0.2;
  double lora_plus_ratio = 1;
  double embedding_noise = 0;
  std::optional<ActivationPolicy> activations;
};

// Fields out of their range, by their path below spec.training. `wsd`: the schedule is WSD.
// `continues`: the job goes on from an adapter.
std::vector<FieldViolation> CheckTechniques(const TechniqueSpec& spec, bool wsd, bool continues);

ResolvedTechniques ResolveTechniques(const TechniqueSpec& spec);

std::string_view Name(InitialAdapter initial);
std::string_view Name(ActivationPolicy policy);
std::optional<InitialAdapter> ParseInitialAdapter(std::string_view name);
std::optional<ActivationPolicy> ParseActivationPolicy(std::string_view name);

}  // namespace crossover::scheduler
