// Signs that a prompt has reached its ceiling, and what to do about symptoms before fine-tuning.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/prompt/prompt_spec.h"

namespace crossover::registry {

struct PromptSection {
  std::string name;    // "system", "instructions", "few_shot", "schema"
  int64_t tokens = 0;  // estimated at four characters each
};

struct CeilingSign {
  std::string code;
  std::string message;
  double value = 0;
  double threshold = 0;
  std::vector<std::string> quotes;  // at most 5
};

struct Remedy {
  std::string symptom;
  std::string remedy;
  std::string rung;
};

struct Diagnosis {
  std::vector<PromptSection> sections;
  std::vector<CeilingSign> signs;  // strongest first: furthest over its threshold
  std::vector<Remedy> remedies;    // in the order to try them
};

// `spec` may be null: then only the symptoms are answered. Unknown symptoms are answered with the
// known ones.
Diagnosis Diagnose(const prompt::PromptSpec* spec, const std::vector<std::string>& symptoms);

}  // namespace crossover::registry
