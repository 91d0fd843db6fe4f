// The adapter that a configuration asks for. No torch.
#pragma once

#include <string>
#include <vector>

#include "common/status/error.h"
#include "llm/formats/model_config.h"
#include "llm/formats/peft.h"
#include "llm/lora/layout.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// Requires CheckConfig(config) and CheckPlan(…).
LoraLayout PlannedLayout(const ModelConfig& model, const TrainConfig& config);

// adapter_config.json of the adapter. That of a PiSSA adapter says twice the rank and, so that the
// scale stays, twice alpha (the square root of 2 with rsLoRA).
LoraConfig PlannedConfig(const TrainConfig& config, const std::string& base_model_name);

// Patterns and layers that do not fit the model: a pattern that matches no adapted module, two that
// match one, a layer that does not exist, a rank beyond a layer's size.
std::vector<FieldViolation> CheckPlan(const ModelConfig& model, const TrainConfig& config);

}  // namespace crossover::llm
