#include "bench/generate/accuracy.h"

#include "common/status/status_macros.h"

namespace crossover::bench {

absl::StatusOr<std::vector<Accuracy>> MeasureAccuracy(std::shared_ptr<const llm::BaseModel> base,
                                                      const std::vector<int32_t>& text) {
  std::vector<Accuracy> all;
  std::vector<int32_t> dense;
  for (const llm::DecodeWeights weights :
       {llm::DecodeWeights::kDense, llm::DecodeWeights::kInt8, llm::DecodeWeights::kInt4}) {
    ASSIGN_OR_RETURN(const auto engine, llm::Engine::Create(base, {.decode_weights = weights}));
    ASSIGN_OR_RETURN(const llm::ScoreResult score,
                     engine->Score({.prompt = {text[0]},
                                    .continuations = {{text.begin() + 1, text.end()}},
                                    .top_logprobs = 1}));
    Accuracy accuracy;
    const double count = static_cast<double>(score.logprobs[0].size());
    for (size_t i = 0; i < score.logprobs[0].size(); ++i) {
      accuracy.loss -= score.logprobs[0][i] / count;
      const int32_t best = score.top[0][i][0].id;
      if (weights == llm::DecodeWeights::kDense) dense.push_back(best);
      accuracy.agreement += dense[i] == best ? 1 / count : 0;
    }
    all.push_back(accuracy);
  }
  return all;
}

}  // namespace crossover::bench
