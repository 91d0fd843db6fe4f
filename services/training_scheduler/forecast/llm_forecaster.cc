#include "services/training_scheduler/forecast/llm_forecaster.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/base_text.h"
#include "llm/formats/model_config.h"
#include "llm/rows/samples.h"
#include "llm/rows/teacher_reader.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/forecast.h"
#include "services/training_scheduler/forecast/row_length.h"

namespace crossover::scheduler {
namespace {

// Rows in digest order are a random sample; more of them do not change a mean by a percent.
constexpr size_t kMostTrainRows = 2048;
constexpr size_t kMostValidationRows = 64;  // what the worker validates on
constexpr int64_t kNoLimit = 0;             // rows after the sample are not looked at

// InvalidArgument is for rows and fields alone: a model file or a folder that cannot be read only
// means that nothing is known here.
absl::Status Unknown(const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  return Error(absl::StatusCode::kFailedPrecondition, DetailOf(status).reason,
               std::string(status.message().data(), status.message().size()));
}

// A folder artifact on disk for as long as the object lives.
class Materialised {
 public:
  static absl::StatusOr<Materialised> Of(BlobStore& blobs, const std::string& digest) {
    static std::atomic<int64_t> counter = 0;
    std::error_code error;
    const std::filesystem::path root = std::filesystem::temp_directory_path(error);
    if (error) return absl::UnavailableError(error.message());
    Materialised folder(root / absl::StrCat("crossover-forecast-", getpid(), "-", ++counter));
    RETURN_IF_ERROR(blobs.Materialise(digest, folder.path_));
    return folder;
  }
  Materialised(Materialised&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ~Materialised() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit Materialised(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// What a row is encoded with. `teacher`: null unless the job distils.
struct Encoder {
  const llm::ChatTemplate& chat;
  const ResolvedSpec& spec;
  const llm::TeacherReader* teacher = nullptr;
};

absl::StatusOr<llm::TrainRow> Encode(const dataset::Row& row, const Encoder& encoder) {
  const auto& [chat, spec, teacher] = encoder;
  const bool preference = spec.objective == Objective::kPreference;
  const bool last = preference || spec.loss_on == LossOn::kLastAssistant;
  ASSIGN_OR_RETURN(
      llm::TrainingSample sample,
      llm::SampleOf(row, chat, last ? llm::TrainedTurns::kLast : llm::TrainedTurns::kAll));
  llm::TrainRow out{.ids = std::move(sample.ids), .token_weights = std::move(sample.weights)};
  if (teacher != nullptr) {
    RETURN_IF_ERROR(teacher->Read(row.logprobs, out));
    out.teacher.clear();  // read to see that it can be: what it says costs no time
  }
  if (spec.loss_on == LossOn::kAllTokens && !preference) {
    std::fill(out.token_weights.begin() + 1, out.token_weights.end(), 1.0F);
  }
  if (!preference) return out;
  ASSIGN_OR_RETURN(llm::TrainingSample rejected, llm::RejectedSampleOf(row, chat));
  out.rejected_ids = std::move(rejected.ids);
  out.rejected_weights = std::move(rejected.weights);
  return out;
}

// The first rows of a split, and whether there are more; `longest` in tokens, of all of them that
// may be longer than the limit.
struct Split {
  std::vector<llm::TrainRow> rows;
  bool whole = true;
  int64_t longest = 0;
};

int64_t LengthOf(const llm::TrainRow& row) {
  return static_cast<int64_t>(std::max(row.ids.size(), row.rejected_ids.size()));
}

// Of the rows after the sample. Rows that cannot be too long, which are nearly all of them under a
// model's context, cost a sum of their lengths; the others are encoded, as the worker will do
// before its first step: one too long would fail the job there.
absl::Status CheckRest(const dataset::Row& row, const Encoder& encoder, int64_t limit,
                       Split& split) {
  if (MostTokens(row) > limit) {
    ASSIGN_OR_RETURN(const llm::TrainRow encoded, Encode(row, encoder));
    split.longest = std::max(split.longest, LengthOf(encoded));
    return absl::OkStatus();
  }
  if (encoder.teacher == nullptr || !row.logprobs.empty()) return absl::OkStatus();
  llm::TrainRow unused;
  return encoder.teacher->Read(row.logprobs, unused);
}

absl::Status WithDigest(const absl::Status& status, const dataset::Row& row) {
  ASSIGN_OR_RETURN(const std::string digest, dataset::RowDigest(row));
  return WithContext(status, absl::StrCat("row ", digest));
}

absl::StatusOr<Split> EncodeSplit(const std::filesystem::path& folder, std::string_view name,
                                  const Encoder& encoder, size_t most, int64_t limit) {
  auto reader = dataset::ShardReader::Open(folder, {.split = std::string(name)});
  if (!reader.ok()) return Unknown(reader.status());
  Split split;
  while (true) {
    const absl::StatusOr<std::optional<dataset::Row>> row = (*reader)->Next();
    if (!row.ok()) return Unknown(row.status());
    if (!row->has_value()) return split;
    if ((*row)->weight == 0) continue;  // The worker leaves it out.
    if (split.rows.size() == most) {
      split.whole = false;
      if (limit == kNoLimit) return split;
      const absl::Status rest = CheckRest(**row, encoder, limit, split);
      if (!rest.ok()) return WithDigest(rest, **row);
      continue;
    }
    absl::StatusOr<llm::TrainRow> encoded = Encode(**row, encoder);
    if (!encoded.ok()) return WithDigest(encoded.status(), **row);
    split.longest = std::max(split.longest, LengthOf(*encoded));
    split.rows.push_back(*std::move(encoded));
  }
}

// Of a GGUF file, or of a folder's safetensors: what else is in them is small beside.
absl::StatusOr<int64_t> WeightBytes(const std::filesystem::path& base) {
  std::error_code error;
  int64_t bytes = 0;
  if (!std::filesystem::is_directory(base, error)) {
    bytes = static_cast<int64_t>(std::filesystem::file_size(base, error));
  } else {
    for (const auto& entry : std::filesystem::directory_iterator(base, error)) {
      if (entry.path().extension() != ".safetensors") continue;
      bytes += static_cast<int64_t>(entry.file_size(error));
      if (error) break;
    }
  }
  if (error) return absl::UnavailableError(base.string() + ": " + error.message());
  return bytes;
}

llm::Recompute ToLlm(const std::optional<ActivationPolicy>& policy) {
  if (!policy.has_value()) return llm::Recompute::kAuto;
  return *policy == ActivationPolicy::kKeep ? llm::Recompute::kNever : llm::Recompute::kAlways;
}

llm::ObjectiveKind ToLlm(Objective objective) {
  if (objective == Objective::kPreference) return llm::ObjectiveKind::kPreference;
  return objective == Objective::kDistil ? llm::ObjectiveKind::kDistil
                                         : llm::ObjectiveKind::kSupervised;
}

// In the order of llm::kAllTargets.
constexpr std::array<std::string_view, 7> kTargetNames = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

llm::TrainConfig ConfigOf(const ResolvedSpec& spec) {
  llm::TrainConfig config;
  config.rank = static_cast<int>(spec.rank);
  config.targets.clear();
  for (size_t i = 0; i < kTargetNames.size(); ++i) {
    const bool wanted = std::ranges::count(spec.targets, kTargetNames[i]) > 0;
    if (wanted) config.targets.push_back(llm::kAllTargets[i]);
  }
  const ResolvedTechniques& techniques = spec.techniques;
  config.layers.assign(techniques.layers.begin(), techniques.layers.end());
  config.rank_pattern.assign(techniques.rank_pattern.begin(), techniques.rank_pattern.end());
  config.alpha_pattern.assign(techniques.alpha_pattern.begin(), techniques.alpha_pattern.end());
  config.dora = techniques.dora;
  config.dropout = techniques.dropout;
  config.recompute = ToLlm(techniques.activations);
  if (techniques.initial == InitialAdapter::kPissa) config.initial = llm::InitialAdapter::kPissa;
  config.batch_rows = static_cast<int>(spec.batch_size);
  config.max_row_tokens = spec.max_length;
  config.epochs = spec.epochs;
  config.max_steps = spec.steps;
  config.seed = static_cast<uint64_t>(spec.seed);
  config.objective = ToLlm(spec.objective);
  config.kl_weight = spec.kl_weight;
  // As the worker does: packs of one token are rows alone.
  config.max_pack_tokens = spec.packing == Packing::kNone ? 1 : spec.tokens_per_sequence;
  config.share_prefix = spec.packing == Packing::kSharedPrefix;
  return config;
}

// Patterns and layers that the base does not have: the worker would refuse them, hours later.
absl::Status FitsModel(const llm::ModelConfig& model, const llm::TrainConfig& config) {
  std::vector<FieldViolation> violations = llm::CheckPlan(model, config);
  if (violations.empty()) return absl::OkStatus();
  for (FieldViolation& violation : violations)
    violation.field = absl::StrCat("spec.training.adapter.", violation.field);
  const std::string message =
      absl::StrCat(violations.front().field, " ", violations.front().description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = std::move(violations)});
}

}  // namespace

struct LlmForecaster::Base {
  std::string key;
  llm::ModelConfig config;
  int64_t stored_bytes = 0;  // of its weights in their files
  std::shared_ptr<const llm::ChatTemplate> chat;
};

struct LlmForecaster::Rows {
  std::string key;
  std::vector<llm::TrainRow> train, validation;
  bool all = false;
  int64_t longest = 0;
};

LlmForecaster::LlmForecaster(BlobStore& blobs) : blobs_(blobs) {}
LlmForecaster::~LlmForecaster() = default;

absl::StatusOr<const LlmForecaster::Base*> LlmForecaster::FindBase(const Inputs& inputs,
                                                                   const ResolvedSpec& spec) {
  const std::string key = absl::StrCat(inputs.base_digest, " ", spec.template_date);
  if (base_ != nullptr && base_->key == key) return base_.get();
  ASSIGN_OR_RETURN(const std::filesystem::path path, blobs_.LocalTree(inputs.base_digest));
  ASSIGN_OR_RETURN(const llm::BaseText text, llm::ReadBaseText(path));
  auto base = std::make_unique<Base>();
  base->key = key;
  base->config = text.config;
  ASSIGN_OR_RETURN(base->stored_bytes, WeightBytes(path));
  llm::ChatTemplateOptions options;
  if (!spec.template_date.empty() && !absl::ParseCivilTime(spec.template_date, &options.date)) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 absl::StrCat("template_date '", spec.template_date, "' is not YYYY-MM-DD"));
  }
  ASSIGN_OR_RETURN(base->chat, text.Chat(options));
  base_ = std::move(base);
  return base_.get();
}

absl::StatusOr<const LlmForecaster::Rows*> LlmForecaster::FindRows(const Inputs& inputs,
                                                                   const ResolvedSpec& spec,
                                                                   const Base& base,
                                                                   int64_t limit) {
  const std::string key =
      absl::StrCat(base.key, " ", inputs.dataset_digest, " ", static_cast<int>(spec.objective), " ",
                   spec.loss_on.has_value() ? static_cast<int>(*spec.loss_on) : -1, " ",
                   spec.max_rows, " ", spec.validation_fraction, " ", limit);
  if (rows_ != nullptr && rows_->key == key) return rows_.get();
  ASSIGN_OR_RETURN(const Materialised folder, Materialised::Of(blobs_, inputs.dataset_digest));
  std::optional<llm::TeacherReader> teacher;
  if (spec.objective == Objective::kDistil) teacher.emplace(base.chat->tokenizer());
  Encoder encoder{*base.chat, spec, teacher.has_value() ? &*teacher : nullptr};
  ASSIGN_OR_RETURN(Split train,
                   EncodeSplit(folder.path(), dataset::kTrain, encoder, kMostTrainRows, limit));
  encoder.teacher = nullptr;  // validation is by the data's own answers
  ASSIGN_OR_RETURN(Split validation, EncodeSplit(folder.path(), dataset::kValidation, encoder,
                                                 kMostValidationRows, kNoLimit));
  if (train.rows.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "TOO_FEW_ROWS",
                 "the folder has no rows in its train split");
  }
  auto rows = std::make_unique<Rows>();
  rows->key = key;
  rows->all = train.whole && spec.max_rows == 0;
  rows->longest = std::max(train.longest, validation.longest);
  rows->train = std::move(train.rows);
  rows->validation = std::move(validation.rows);
  // The worker sets aside as many; which ones does not matter for their number of tokens.
  if (rows->validation.empty() && spec.validation_fraction > 0) {
    const size_t wanted = std::min({static_cast<size_t>(std::max<int64_t>(0, spec.validation_rows)),
                                    kMostValidationRows, rows->train.size() - 1});
    const auto first = rows->train.end() - static_cast<std::ptrdiff_t>(wanted);
    rows->validation.assign(std::make_move_iterator(first),
                            std::make_move_iterator(rows->train.end()));
    rows->train.erase(first, rows->train.end());
  }
  rows_ = std::move(rows);
  return rows_.get();
}

absl::StatusOr<TrainingForecast> LlmForecaster::Forecast(const Inputs& inputs,
                                                         const ResolvedSpec& spec,
                                                         const ForecastWorkers& workers) {
  const absl::MutexLock lock(&mutex_);
  const absl::StatusOr<const Base*> found = FindBase(inputs, spec);
  if (!found.ok()) return Unknown(found.status());
  const Base* const base = *found;
  const llm::TrainConfig config = ConfigOf(spec);
  RETURN_IF_ERROR(FitsModel(base->config, config));  // before the rows, which take long to read
  const int64_t limit = llm::LongestRow(base->config, config);
  ASSIGN_OR_RETURN(const Rows* rows, FindRows(inputs, spec, *base, limit));
  const llm::Forecast forecast =
      llm::ForecastOf(base->config, config, rows->train, rows->validation,
                      {.train_rows = spec.train_rows,
                       .eval_every = spec.eval_every,
                       .bf16 = spec.compute_type == ComputeType::kBfloat16 && !workers.float32_only,
                       .workers = workers.count,
                       .memory_bytes = workers.memory_bytes,
                       .stored_bytes = base->stored_bytes});
  return TrainingForecast{.tokens = forecast.tokens,
                          .longest_row = rows->longest,
                          .row_limit = limit,
                          .all_rows = rows->all,
                          .work = forecast.work,
                          .peak_memory_bytes = forecast.peak_memory_bytes};
}

}  // namespace crossover::scheduler
