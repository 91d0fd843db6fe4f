#include "bench/resume/settings.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "llm/model/base_model.h"
#include "llm/model/random.h"

namespace crossover::llm {
namespace {

using Change = std::function<void(TrainConfig&)>;

const std::vector<std::pair<std::string, Change>>& Settings() {
  static const auto* const settings = new std::vector<std::pair<std::string, Change>>{
      {"adamw_shared_prefix", [](TrainConfig&) {}},
      {"accumulation_rows",
       [](TrainConfig& c) {
         c.accumulation = 3;
         c.share_prefix = false;
       }},
      {"lora_plus_decay_small_packs",
       [](TrainConfig& c) {
         c.b_rate = 16;
         c.weight_decay = 0.1;
         c.max_pack_tokens = 100;
         c.schedule = Schedule::kWsd;
       }},
      {"dora_rslora",
       [](TrainConfig& c) {
         c.dora = true;
         c.rslora = true;
         c.schedule = Schedule::kLinear;
       }},
      {"pissa", [](TrainConfig& c) { c.initial = InitialAdapter::kPissa; }},
      {"dropout_noise_recompute",
       [](TrainConfig& c) {
         c.dropout = 0.1;
         c.neftune = 5;
         c.accumulation = 2;
         c.recompute = Recompute::kAlways;
       }},
      {"preference", [](TrainConfig& c) { c.objective = ObjectiveKind::kPreference; }},
      {"kl_to_base", [](TrainConfig& c) { c.kl_weight = 0.2; }},
  };
  return *settings;
}

std::shared_ptr<const BaseModel> Model(int threads) {
  ModelConfig config;
  config.hidden_size = 192;
  config.intermediate_size = 512;
  config.layers = 4;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.vocab_size = 2000;
  config.context_length = 512;
  return BaseModel::Random(config, {.threads = threads}, /*seed=*/1);
}

// A common beginning, then an answer and one that is not preferred.
std::vector<TrainRow> Rows(int64_t count) {
  std::vector<TrainRow> rows;
  const auto token = [](uint64_t stream, uint64_t i) {
    return static_cast<int32_t>(RandomBits(7, stream, i) % 2000);
  };
  for (int64_t r = 0; r < count; ++r) {
    TrainRow row{.id = absl::StrCat("row-", r)};
    for (int64_t i = 0; i < 30; ++i) row.ids.push_back(token(0, i));
    row.rejected_ids = row.ids;
    for (int64_t i = 0; i < 10 + r % 13; ++i) {
      row.ids.push_back(token(1 + 2 * r, i));
      row.rejected_ids.push_back(token(2 + 2 * r, i));
    }
    row.token_weights.assign(row.ids.size(), 1.0f);
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 30, 0.0f);
    row.rejected_weights = row.token_weights;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::vector<std::string> SettingNames() {
  std::vector<std::string> names;
  for (const auto& [name, change] : Settings()) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const std::string& name, int threads) {
  for (const auto& [known, change] : Settings()) {
    if (known != name) continue;
    TrainConfig config{.rank = 8, .alpha = 16, .learning_rate = 1e-3, .max_steps = 24};
    config.batch_rows = 6;
    config.seed = 11;
    change(config);
    return Trainer::Create(Model(threads), config, Rows(100), {});
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no setting '", name, "'"));
}

}  // namespace crossover::llm
