#include "llm/train/fingerprint.h"

#include <ATen/core/Tensor.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

class Hash {
 public:
  Hash() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }

  void Bytes(const void* data, size_t size) { XXH3_64bits_update(state_.get(), data, size); }
  void Text(const std::string& text) { Bytes(text.c_str(), text.size() + 1); }
  void Tensor(const at::Tensor& tensor) { Bytes(tensor.data_ptr(), tensor.nbytes()); }
  std::string Hex() const {
    return absl::StrFormat("xxh3:%016x", XXH3_64bits_digest(state_.get()));
  }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

std::string TextOf(const TrainConfig& c) {
  std::string targets;
  for (const Target target : c.targets) absl::StrAppend(&targets, std::string(NameOf(target)), ",");
  for (const int layer : c.layers) absl::StrAppend(&targets, layer, ",");
  for (const auto& [key, rank] : c.rank_pattern) absl::StrAppend(&targets, key, "=", rank, ",");
  for (const auto& [key, alpha] : c.alpha_pattern)
    absl::StrAppendFormat(&targets, "%s=%.17g,", key, alpha);
  // Not how activations are kept: that changes no bit.
  absl::StrAppendFormat(&targets, " %d %d %.17g %.17g %.17g %.17g", c.dora,
                        static_cast<int>(c.initial), c.dropout, c.neftune, c.decay_share, c.b_rate);
  std::string text = absl::StrFormat(
      "%d %.17g %d %s %.17g %d %d %.17g %d %d %d %d %d %.17g %.17g %.17g %.17g %.17g %d %d %d",
      c.rank, c.alpha, c.rslora, targets, c.learning_rate, static_cast<int>(c.schedule),
      c.warmup_steps, c.epochs, c.max_steps, c.batch_rows, c.accumulation, c.shuffle, c.seed,
      c.beta1, c.beta2, c.epsilon, c.weight_decay, c.max_gradient_norm, c.max_pack_tokens,
      c.share_prefix, c.min_shared_prefix);
  absl::StrAppendFormat(&text, " %d %.17g %.17g %.17g %.17g", static_cast<int>(c.objective),
                        c.preference_beta, c.label_smoothing, c.distil_weight, c.kl_weight);
  return text;
}

// The embedding and one matrix of each block tell models of one shape apart.
// Decoded, so that a run may go on from a base that is kept in memory another way.
void AddWeights(const BaseModel& base, Hash& hash) {
  const ModelWeights& weights = base.weights();
  hash.Tensor(weights.stored_embedding != nullptr ? weights.stored_embedding->Dense()
                                                  : weights.embedding);
  for (const BlockWeights& block : weights.blocks) hash.Tensor(block.o.Dense());
}

void AddRows(const std::vector<TrainRow>& rows, Hash& hash) {
  for (const TrainRow& row : rows) {
    hash.Text(row.id);
    hash.Bytes(row.ids.data(), row.ids.size() * sizeof(int32_t));
    hash.Bytes(row.token_weights.data(), row.token_weights.size() * sizeof(float));
    hash.Bytes(&row.weight, sizeof(row.weight));
    hash.Bytes(row.rejected_ids.data(), row.rejected_ids.size() * sizeof(int32_t));
    hash.Bytes(row.rejected_weights.data(), row.rejected_weights.size() * sizeof(float));
    for (const TeacherToken& token : row.teacher) {
      hash.Bytes(token.ids.data(), token.ids.size() * sizeof(int32_t));
      hash.Bytes(token.log_probabilities.data(), token.log_probabilities.size() * sizeof(float));
    }
  }
}

}  // namespace

std::string FingerprintOf(const BaseModel& base, const TrainConfig& config,
                          const std::vector<TrainRow>& rows) {
  Hash hash;
  hash.Text(TextOf(config));
  AddWeights(base, hash);
  AddRows(rows, hash);
  return hash.Hex();
}

std::string BaseFingerprintOf(const BaseModel& base) {
  Hash hash;
  AddWeights(base, hash);
  return hash.Hex();
}

std::string RowsFingerprintOf(const TrainConfig& config, const std::vector<TrainRow>& rows) {
  Hash hash;
  hash.Text(TextOf(config));
  AddRows(rows, hash);
  return hash.Hex();
}

}  // namespace crossover::llm
