// transformers' generate on the same prompts, in a Python environment that has it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crossover::bench {

// Generated tokens a second of one batch with all prompts (of one length), prompt included, as a
// user calls it; 0 if it failed. All it says goes to stdout.
double TransformersTokensPerSecond(const std::string& python, const std::string& model,
                                   const std::vector<std::vector<int32_t>>& prompts, int64_t tokens,
                                   int threads);

}  // namespace crossover::bench
