// The trainings that bench resume interrupts. Each is small, and all of it follows from its name.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

std::vector<std::string> SettingNames();

// A trainer of a random model, as every process makes it anew. `name` is one of SettingNames().
// Where the base stays in a file, that is made in `folder` unless it is there.
absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const std::string& name, int threads,
                                                     const std::filesystem::path& folder);

}  // namespace crossover::llm
