// What the processor could do at best: the matrix products of a training step and nothing else.
#pragma once

#include <cstdint>

#include "llm/model/base_model.h"

namespace crossover::llm {

// Floating-point operations a second of the frozen products of a step (forward, and gradient of the
// input) over packs of `tokens` tokens, weights packed for the processor beforehand where it
// computes in bf16. The best of three rounds over all layers.
double GemmFlops(const BaseModel& base, int64_t tokens);

// Numbers in the matrices of the blocks: a token takes 4 operations with each.
int64_t BlockParameters(const BaseModel& base);

}  // namespace crossover::llm
