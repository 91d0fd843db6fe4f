#include "bench/resume/settings.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/formats/testing_random_model.h"
#include "llm/model/base_model.h"
#include "llm/model/random.h"

namespace crossover::llm {
namespace {

using Change = std::function<void(TrainConfig&)>;

struct Setting {
  std::string name;
  Change change;
  bool stored = false;  // The base's weights stay quantised, in a file.
};

const std::vector<Setting>& Settings() {
  static const auto* const settings = new std::vector<Setting>{
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
      {"distil",
       [](TrainConfig& c) {
         c.objective = ObjectiveKind::kDistil;
         c.distil_weight = 0.6;
       }},
      // As the worker says Packing NONE: every row is longer than a pack, so it is one alone.
      {"rows_alone",
       [](TrainConfig& c) {
         c.max_pack_tokens = 1;
         c.share_prefix = false;
       }},
      {"stored_base", [](TrainConfig&) {}, /*stored=*/true},
  };
  return *settings;
}

ModelConfig Shape() {
  ModelConfig config;
  config.hidden_size = 192;
  config.intermediate_size = 512;
  config.layers = 4;
  config.heads = 6;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.vocab_size = 2000;
  config.context_length = 512;
  return config;
}

absl::StatusOr<std::shared_ptr<const BaseModel>> Model(const Setting& setting, int threads,
                                                       const std::filesystem::path& folder) {
  if (!setting.stored) return BaseModel::Random(Shape(), {.threads = threads}, /*seed=*/1);
  // Appears whole or not at all, whenever this process is killed.
  const std::filesystem::path file = folder / "base.gguf";
  if (!std::filesystem::exists(file)) {
    RETURN_IF_ERROR(WriteRandomModel(
        file, Shape(), [](const WeightSpec&) { return TensorType::kQ8_0; }, /*seed=*/1));
  }
  return BaseModel::Load(file.string(), {.threads = threads, .weights = WeightStorage::kStored});
}

// A common beginning, then an answer, one that is not preferred, and what a teacher says to the
// first.
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
    row.teacher.resize(row.ids.size());
    for (size_t i = 30; i < row.ids.size(); ++i)
      row.teacher[i] = {{row.ids[i], (row.ids[i] + 1) % 2000}, {-0.5f, -1.5f}};
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::vector<std::string> SettingNames() {
  std::vector<std::string> names;
  for (const Setting& setting : Settings()) names.push_back(setting.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const std::string& name, int threads,
                                                     const std::filesystem::path& folder) {
  for (const Setting& setting : Settings()) {
    if (setting.name != name) continue;
    TrainConfig config{.rank = 8, .alpha = 16, .learning_rate = 1e-3, .max_steps = 24};
    config.batch_rows = 6;
    config.seed = 11;
    setting.change(config);
    ASSIGN_OR_RETURN(const std::shared_ptr<const BaseModel> base, Model(setting, threads, folder));
    return Trainer::Create(base, config, Rows(100), {});
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no setting '", name, "'"));
}

}  // namespace crossover::llm
