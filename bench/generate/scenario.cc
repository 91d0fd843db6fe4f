#include "bench/generate/scenario.h"

#include <nlohmann/json.hpp>

#include "llm/model/random.h"

namespace crossover::bench {

std::vector<int32_t> PromptOf(const Scenario& scenario, uint64_t set, uint64_t request) {
  std::vector<int32_t> ids;
  const auto add = [&](uint64_t stream, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<int32_t>(llm::RandomBits(1, stream, static_cast<uint64_t>(i)) %
                                             static_cast<uint64_t>(scenario.vocab - 100) +
                                         50));
    }
  };
  add(2 * set, scenario.common);
  add(2 * request + 1, scenario.own);
  return ids;
}

std::string BodyOf(const Scenario& scenario, const std::string& model,
                   const std::vector<int32_t>& prompt) {
  nlohmann::json bias = nlohmann::json::object();
  for (const int32_t id : scenario.end_ids) bias[std::to_string(id)] = -100;
  nlohmann::json body = {
      {"model", model},    {"prompt", prompt}, {"max_tokens", scenario.generated},
      {"temperature", 0},  {"stream", true},   {"stream_options", {{"include_usage", true}}},
      {"logit_bias", bias}};
  // Refused by ours, which knows logit_bias alone.
  if (scenario.for_llama_server) body["ignore_eos"] = true;
  return body.dump();
}

std::vector<std::string> BodiesOf(const Scenario& scenario, const std::string& model, uint64_t set,
                                  uint64_t round) {
  std::vector<std::string> bodies;
  for (int i = 0; i < scenario.requests; ++i) {
    const uint64_t request = round * 100003 + static_cast<uint64_t>(i);
    bodies.push_back(BodyOf(scenario, model, PromptOf(scenario, set, request)));
  }
  return bodies;
}

}  // namespace crossover::bench
