#include "llm/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "llm/model/random.h"

namespace crossover::llm {

namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Where the search for the most likely begins at the least: a few sorted in vain cost nothing, and
// from a tiny temperature's own width it would look at all logits a thousand times.
constexpr double kLeastReach = 1;

struct Candidate {
  float logit;
  int32_t id;
  bool operator<(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : id < other.id;
  }
};

// The largest number that is not NaN. Sixteen maxima side by side: one after the other, each
// comparison waits for the one before.
float Largest(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float largest[kLanes];
  std::fill(std::begin(largest), std::end(largest), kForbidden);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      largest[lane] = values[i + lane] > largest[lane] ? values[i + lane] : largest[lane];
  }
  for (; i < values.size(); ++i) largest[0] = values[i] > largest[0] ? values[i] : largest[0];
  return *std::max_element(std::begin(largest), std::end(largest));
}

// The candidates that top_k and top_p leave, most likely first. Only logits within `reach` of the
// best are sorted; the reach grows until all that top_k leaves are inside, or without it the wanted
// share of the probability, so the result is that of a full sort.
std::vector<Candidate> Nucleus(const Sampling& sampling, std::span<const float> logits) {
  const float best = logits[MostLikely(logits)];
  // Finite, so that the best's weight is 1 at any temperature.
  const double scale = std::min(1 / sampling.temperature, std::numeric_limits<double>::max());
  double total = 0;
  size_t possible = 0;  // The others are forbidden, and no reach brings them in.
  for (const float logit : logits) {
    total += std::exp((logit - best) * scale);
    possible += logit != kForbidden;
  }
  std::vector<Candidate> kept;
  for (double reach = std::max(8 * sampling.temperature, kLeastReach);; reach *= 2) {
    kept.clear();
    double inside = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] == kForbidden || logits[i] < best - reach) continue;
      kept.push_back({logits[i], static_cast<int32_t>(i)});
      inside += std::exp((logits[i] - best) * scale);
    }
    const bool all = kept.size() == possible;
    const bool enough = sampling.top_k > 0 ? static_cast<int>(kept.size()) >= sampling.top_k
                                           : inside >= sampling.top_p * total;
    if (all || enough) break;
  }
  std::sort(kept.begin(), kept.end());
  if (sampling.top_k > 0 && static_cast<int>(kept.size()) > sampling.top_k)
    kept.resize(sampling.top_k);
  if (sampling.top_p < 1) {
    // top_p of what top_k left, as transformers and vLLM do.
    double mass = 0;
    for (const Candidate& candidate : kept) mass += std::exp((candidate.logit - best) * scale);
    const double wanted = sampling.top_p * (sampling.top_k > 0 ? mass : total);
    double sum = 0;
    size_t n = 0;
    while (n < kept.size() && (n == 0 || sum < wanted))
      sum += std::exp((kept[n++].logit - best) * scale);
    kept.resize(n);
  }
  return kept;
}

int32_t Draw(const Sampling& sampling, int64_t position, std::span<const float> logits) {
  const double u =
      RandomUniform(sampling.seed, /*stream=*/uint64_t{1} << 40, static_cast<uint64_t>(position));
  const float best = logits[MostLikely(logits)];
  const auto weight = [&](float logit) { return std::exp((logit - best) / sampling.temperature); };
  if (sampling.top_k <= 0 && sampling.top_p >= 1) {
    double total = 0;
    for (const float logit : logits) total += weight(logit);
    double left = u * total;
    for (size_t i = 0; i < logits.size(); ++i) {
      left -= weight(logits[i]);
      if (left < 0) return static_cast<int32_t>(i);
    }
    return MostLikely(logits);
  }
  const std::vector<Candidate> kept = Nucleus(sampling, logits);
  double total = 0;
  for (const Candidate& candidate : kept) total += weight(candidate.logit);
  double left = u * total;
  for (const Candidate& candidate : kept) {
    left -= weight(candidate.logit);
    if (left < 0) return candidate.id;
  }
  return kept.back().id;
}

}  // namespace

int32_t MostLikely(std::span<const float> logits) {
  const float best = Largest(logits);
  const auto place = std::find(logits.begin(), logits.end(), best);
  return place == logits.end() ? 0 : static_cast<int32_t>(place - logits.begin());
}

double LogSumExp(std::span<const float> logits) {
  const float best = logits[MostLikely(logits)];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - best);
  return best + std::log(sum);
}

std::vector<TokenLogprob> TopLogprobs(std::span<const float> logits, int n) {
  std::vector<Candidate> all(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) all[i] = {logits[i], static_cast<int32_t>(i)};
  const auto end = all.begin() + std::min<int64_t>(n, static_cast<int64_t>(all.size()));
  std::partial_sort(all.begin(), end, all.end());
  const double lse = LogSumExp(logits);
  std::vector<TokenLogprob> top;
  for (auto it = all.begin(); it != end && it->logit != kForbidden; ++it)
    top.push_back({it->id, static_cast<float>(it->logit - lse)});
  return top;
}

GeneratedToken Sample(const Sampling& sampling, int64_t position, std::span<float> logits,
                      const TokenHistory& history) {
  const bool changes = HasPenalties(sampling) || !sampling.logit_bias.empty();
  GeneratedToken token;
  double lse = 0;
  std::vector<float> original;
  if (sampling.top_logprobs >= 0) {
    lse = LogSumExp(logits);
    if (sampling.top_logprobs > 0) token.top = TopLogprobs(logits, sampling.top_logprobs);
    if (changes) original.assign(logits.begin(), logits.end());
  }
  if (HasPenalties(sampling)) ApplyPenalties(sampling, history, logits);
  for (const Sampling::Bias& bias : sampling.logit_bias) {
    if (logits[bias.id] != kForbidden) logits[bias.id] += bias.bias;
  }
  token.id = sampling.temperature == 0 ? MostLikely(logits) : Draw(sampling, position, logits);
  if (sampling.top_logprobs >= 0) {
    token.logprob =
        static_cast<float>((original.empty() ? logits[token.id] : original[token.id]) - lse);
  }
  return token;
}

absl::Status CheckSampling(const Sampling& sampling, int64_t vocab, bool has_text) {
  const auto bad = [](const std::string& message) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_SAMPLING", message);
  };
  if (!(sampling.temperature >= 0 && sampling.temperature <= 100)) {
    return bad(absl::StrCat("temperature ", sampling.temperature, " is outside 0 to 100"));
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1))
    return bad(absl::StrCat("top_p ", sampling.top_p, " is outside (0, 1]"));
  if (sampling.top_k < 0)
    return bad(absl::StrCat("top_k ", sampling.top_k, " is negative; 0 means no limit"));
  if (sampling.max_tokens < 1)
    return bad(absl::StrCat("max_tokens ", sampling.max_tokens, " is under 1"));
  if (sampling.top_logprobs > 20)
    return bad(absl::StrCat("top_logprobs ", sampling.top_logprobs, " is over 20"));
  for (const Sampling::Bias& bias : sampling.logit_bias) {
    if (bias.id < 0 || bias.id >= vocab)
      return bad(absl::StrCat("logit_bias has token ", bias.id, " of a vocabulary of ", vocab));
    if (std::isnan(bias.bias))
      return bad(absl::StrCat("logit_bias of token ", bias.id, " is not a number"));
  }
  if (!(sampling.repetition_penalty > 0 && sampling.repetition_penalty <= 10)) {
    return bad(
        absl::StrCat("repetition_penalty ", sampling.repetition_penalty, " is outside (0, 10]"));
  }
  for (const auto& [name, penalty] : {std::pair("presence_penalty", sampling.presence_penalty),
                                      std::pair("frequency_penalty", sampling.frequency_penalty)}) {
    if (!(penalty >= -2 && penalty <= 2))
      return bad(absl::StrCat(name, " ", penalty, " is outside -2 to 2"));
  }
  for (const std::string& stop : sampling.stop) {
    if (stop.empty()) return bad("a stop string is empty");
  }
  if (!sampling.stop.empty() && !has_text)
    return bad("stop strings need an engine with a tokenizer");
  return absl::OkStatus();
}

}  // namespace crossover::llm
