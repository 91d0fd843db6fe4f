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

// Its parts, to tell what differs: of what is computed with, and of all the rest.
std::string BaseFingerprintOf(const BaseModel& base);
std::string RowsFingerprintOf(const TrainConfig& config, const std::vector<TrainRow>& rows);

}  // namespace crossover::llm
