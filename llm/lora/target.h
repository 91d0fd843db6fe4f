// The linear layers of a decoder block that can carry a LoRA adapter.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace crossover::llm {

enum class Target { kQ, kK, kV, kO, kGate, kUp, kDown };

inline constexpr std::array<Target, 7> kAllTargets = {
    Target::kQ, Target::kK, Target::kV, Target::kO, Target::kGate, Target::kUp, Target::kDown};

// "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj".
std::string_view NameOf(Target target);
std::optional<Target> TargetOf(std::string_view name);

}  // namespace crossover::llm
