// The rows that are trained on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// The demo's shape: a common system prompt, 60 tokens of input, 25 of answer.
std::vector<TrainRow> SyntheticRows(int64_t count, int64_t vocab);

// Rows of `length` random tokens that have nothing in common; the last quarter is trained.
std::vector<TrainRow> LongRows(int64_t count, int64_t length, int64_t vocab);

// JSONL with {"messages": [{"role", "content"}, …]}.
absl::StatusOr<std::vector<TrainRow>> ReadRows(const std::string& path, const std::string& model);

// The rows the demo's job trains on, made from this machine's package metadata by the demo's own
// script: system prompt, package, answer.
absl::StatusOr<std::vector<TrainRow>> DemoRows(const std::string& model);

// The rows of all windows in the order a job draws them in.
std::vector<TrainRow> InJobOrder(const std::vector<TrainRow>& rows, TrainConfig config);

}  // namespace crossover::llm
