#include "services/evaluation/domain/remedies.h"

namespace crossover::evaluation {

const std::vector<Remedy>& Remedies() {
  static const auto* const kRemedies = new std::vector<Remedy>{
      {"unknown_product", "doesn't know our product", "retrieval over the documents"},
      {"wrong_format", "wrong format", "a JSON schema / structured output"},
      {"refuses", "refuses harmless requests", "scope in the system prompt"},
      {"hallucinates", "hallucinates",
       "retrieval, a grounding instruction and an evaluation of it"},
      {"too_slow", "too slow", "a smaller model with a better prompt"},
      {"too_expensive", "too expensive", "caching, batching, prompt compression"},
      {"voice", "doesn't sound like us", "few-shot examples of the voice"}};
  return *kRemedies;
}

const Remedy* FindRemedy(std::string_view symptom) {
  for (const Remedy& remedy : Remedies()) {
    if (remedy.symptom == symptom) return &remedy;
  }
  return nullptr;
}

}  // namespace crossover::evaluation
