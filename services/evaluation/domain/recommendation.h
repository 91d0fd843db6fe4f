#pragma once

namespace crossover::evaluation {

enum class Recommendation { kPrompt, kFineTune, kHybrid, kWait };
const char* Name(Recommendation recommendation);  // "PROMPT" …

}  // namespace crossover::evaluation
