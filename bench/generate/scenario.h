// The requests of the benchmark: a long common prompt, a short end of each request's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crossover::bench {

struct Scenario {
  int requests = 32;
  int64_t common = 1999;   // Tokens that all prompts begin with.
  int64_t own = 1;         // Tokens of each prompt's own.
  int64_t generated = 64;  // New tokens of each.
  int64_t vocab = 0;
  std::vector<int32_t> end_ids;   // Forbidden, so that every answer has its length.
  bool for_llama_server = false;  // Forbids them in llama-server's words too.
};

// Random ids; `set` 0, 1, … have different common parts, `request` different ends. The same
// everywhere.
std::vector<int32_t> PromptOf(const Scenario& scenario, uint64_t set, uint64_t request);

// Body of a streaming, greedy completions request.
std::string BodyOf(const Scenario& scenario, const std::string& model,
                   const std::vector<int32_t>& prompt);

// As many bodies as there are requests; ends differ in each `round`.
std::vector<std::string> BodiesOf(const Scenario& scenario, const std::string& model, uint64_t set,
                                  uint64_t round);

}  // namespace crossover::bench
