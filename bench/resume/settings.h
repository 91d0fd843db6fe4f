// The trainings that bench resume interrupts. Each is small, and all of it follows from its name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

std::vector<std::string> SettingNames();

// A trainer of a random model, as every process makes it anew. `name` is one of SettingNames().
absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const std::string& name, int threads);

}  // namespace crossover::llm
