// A hash of everything that decides what a training run computes, apart from its progress. Sees
// torch.
#pragma once

#include <string>
#include <vector>

#include "llm/model/base_model.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

std::string FingerprintOf(const BaseModel& base, const TrainConfig& config,
                          const std::vector<TrainRow>& rows);

}  // namespace crossover::llm
