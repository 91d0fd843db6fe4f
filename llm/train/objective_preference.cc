#include "llm/train/objective_preference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

// log(1 / (1 + exp(-x))) without overflow.
double LogSigmoid(double x) {
  return x > 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

int64_t Common(const std::vector<int32_t>& a, const std::vector<int32_t>& b,
               const PackOptions& options) {
  if (!options.share_prefix) return 0;
  const auto place = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const int64_t common = place.first - a.begin();
  return common >= options.min_shared_prefix ? common : 0;
}

// The two sequences of each row of a group, as rows of their own: chosen, rejected, chosen, …
std::vector<TrainRow> SequencesOf(Objective::Rows rows, std::span<const int32_t> group) {
  std::vector<TrainRow> sequences;
  for (const int32_t i : group) {
    sequences.push_back({.ids = rows[i]->ids, .token_weights = rows[i]->token_weights});
    sequences.push_back({.ids = rows[i]->rejected_ids, .token_weights = rows[i]->rejected_weights});
  }
  return sequences;
}

TrainPack PackPairs(Objective::Rows rows, std::span<const int32_t> group, PackOptions options) {
  const std::vector<TrainRow> sequences = SequencesOf(rows, group);
  std::vector<const TrainRow*> pointers;
  for (const TrainRow& sequence : sequences) pointers.push_back(&sequence);
  options.max_tokens = std::numeric_limits<int64_t>::max();  // One pack.
  TrainPack pack = std::move(PackRows(pointers, options).front());
  for (LossEntry& entry : pack.entries) {
    entry.rejected = entry.row % 2 == 1;
    entry.row = group[entry.row / 2];
  }
  return pack;
}

}  // namespace

PreferenceObjective::PreferenceObjective(const BaseModel& base, const TrainConfig& config)
    : base_(base),
      beta_(config.preference_beta),
      smoothing_(config.label_smoothing),
      head_(base.weights().head),
      reference_activations_(base, {}, /*keep=*/false) {}

std::vector<TrainPack> PreferenceObjective::Packs(Rows rows, const PackOptions& options) const {
  std::vector<int32_t> sorted(rows.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int32_t a, int32_t b) { return rows[a]->ids < rows[b]->ids; });
  // A pair adds what its two answers do not share with each other and with the pair before it.
  std::vector<TrainPack> packs;
  for (size_t begin = 0; begin < sorted.size();) {
    int64_t tokens = 0;
    size_t end = begin;
    for (; end < sorted.size(); ++end) {
      const TrainRow& row = *rows[sorted[end]];
      int64_t added = static_cast<int64_t>(row.ids.size() + row.rejected_ids.size()) -
                      Common(row.ids, row.rejected_ids, options);
      if (end > begin) added -= Common(rows[sorted[end - 1]]->ids, row.ids, options);
      if (end > begin && tokens + added > options.max_tokens) break;
      tokens += added;
    }
    packs.push_back(PackPairs(rows, std::span(sorted).subspan(begin, end - begin), options));
    begin = end;
  }
  return packs;
}

double PreferenceObjective::TotalWeight(Rows rows) const {
  double sum = 0;
  for (const TrainRow* row : rows) sum += row->weight;
  return sum;
}

void PreferenceObjective::Prepare(const TrainPack& pack) {
  DecoderForward(base_, {}, pack.pack, reference_activations_);
  reference_ = head_.Losses(pack.entries, reference_activations_.h_final);
}

PreferenceObjective::Scored PreferenceObjective::Score(Rows rows, const TrainPack& pack,
                                                       const TokenLosses& losses) const {
  Scored scored;
  std::vector<double> ratios(rows.size(), 0.0);  // chosen log-ratio - rejected log-ratio
  std::vector<bool> here(rows.size(), false);
  for (size_t i = 0; i < pack.entries.size(); ++i) {
    const LossEntry& entry = pack.entries[i];
    const double log_ratio =
        entry.weight * (static_cast<double>(reference_.loss[i]) - losses.loss[i]);
    ratios[entry.row] += entry.rejected ? -log_ratio : log_ratio;
    here[entry.row] = true;
    if (!std::isfinite(log_ratio) && scored.result.bad_row < 0) scored.result.bad_row = entry.row;
    if (entry.rejected) continue;
    scored.result.tokens += 1;
    scored.result.correct += losses.correct[i];
  }
  scored.slopes.assign(rows.size(), 0.0);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (!here[r]) continue;
    const double margin = beta_ * ratios[r], weight = rows[r]->weight;
    const double up = LogSigmoid(margin), down = LogSigmoid(-margin);
    scored.result.weighted_loss -= weight * ((1 - smoothing_) * up + smoothing_ * down);
    scored.result.weight += weight;
    scored.result.margin += weight * margin;
    scored.result.ordered += margin > 0 ? weight : 0;
    scored.slopes[r] =
        -weight * beta_ * ((1 - smoothing_) * std::exp(down) - smoothing_ * std::exp(up));
  }
  return scored;
}

LossResult PreferenceObjective::Evaluate(Rows rows, const TrainPack& pack,
                                         const at::Tensor& hidden) {
  return Score(rows, pack, head_.Losses(pack.entries, hidden)).result;
}

LossResult PreferenceObjective::Gradient(Rows rows, const TrainPack& pack, const at::Tensor& hidden,
                                         double factor, at::Tensor& d_hidden) {
  Scored scored = Score(rows, pack, head_.Losses(pack.entries, hidden));
  // A chosen token's log-probability raises the margin, so its loss has minus the slope.
  std::vector<LossEntry> entries = pack.entries;
  for (LossEntry& entry : entries) {
    const double slope = scored.slopes[entry.row];
    entry.weight = static_cast<float>(entry.weight * (entry.rejected ? slope : -slope));
  }
  head_.Gradient(entries, hidden, factor, d_hidden);
  scored.result.tokens = static_cast<int64_t>(entries.size());
  return scored.result;
}

}  // namespace crossover::llm
