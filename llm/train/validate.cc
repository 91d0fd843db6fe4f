#include "llm/train/validate.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/train/adapter_plan.h"
#include "llm/train/forecast.h"

namespace crossover::llm {

namespace {

absl::Status Bad(std::string_view reason, std::string message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckSequence(const std::vector<int32_t>& ids, const std::vector<float>& weights,
                           float row_weight, int64_t vocab, int64_t limit,
                           const std::string& where) {
  if (ids.size() < 2 || weights.size() != ids.size()) {
    return Bad(
        "BAD_ROW",
        absl::StrCat(where, " has ", ids.size(), " tokens and ", weights.size(),
                     " token weights; at least 2 tokens and one weight for each are needed"));
  }
  if (static_cast<int64_t>(ids.size()) > limit) {
    return Bad(
        "ROW_TOO_LONG",
        absl::StrCat(where, " has ", ids.size(), " tokens; at most ", limit,
                     " fit. Shorten the row or raise max_row_tokens up to the model's context"));
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return Bad(
          "TOKEN_OUT_OF_RANGE",
          absl::StrCat(where, " has token ", id, "; the model's vocabulary is 0 to ", vocab - 1));
    }
  }
  double trained = 0;
  for (size_t t = 1; t < weights.size(); ++t) {
    const float weight = weights[t] * row_weight;
    if (!std::isfinite(weight) || weight < 0)
      return Bad("BAD_ROW", absl::StrCat(where, " has weight ", weight, " at token ", t));
    trained += weight;
  }
  if (trained == 0) {
    return Bad("ROW_WITHOUT_TRAINED_TOKEN",
               absl::StrCat(where, " has no token with a weight: its answer is empty or masked"));
  }
  return absl::OkStatus();
}

absl::Status CheckTeacher(const TrainRow& row, int64_t vocab, const std::string& where) {
  const auto known = [](const TeacherToken& token) { return !token.ids.empty(); };
  if (row.teacher.size() != row.ids.size() || std::ranges::none_of(row.teacher, known)) {
    return Bad("ROW_WITHOUT_TEACHER",
               absl::StrCat(where,
                            " has no log-probabilities of a teacher; give its answer "
                            "`logprobs`, or train with kind SFT"));
  }
  for (const TeacherToken& token : row.teacher) {
    if (token.ids.size() != token.log_probabilities.size()) {
      return Bad("BAD_ROW", absl::StrCat(where, " has ", token.ids.size(), " teacher tokens and ",
                                         token.log_probabilities.size(), " log-probabilities"));
    }
    for (size_t k = 0; k < token.ids.size(); ++k) {
      const float value = token.log_probabilities[k];
      const bool good = token.ids[k] >= 0 && token.ids[k] < vocab && std::isfinite(value) &&
                        value <= kMaxLogProbability;
      if (good) continue;
      return Bad("BAD_ROW", absl::StrCat(where, " has teacher token ", token.ids[k],
                                         " with log-probability ", token.log_probabilities[k]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRow(const TrainRow& row, ObjectiveKind objective, int64_t vocab, int64_t limit,
                      const std::string& where) {
  RETURN_IF_ERROR(CheckSequence(row.ids, row.token_weights, row.weight, vocab, limit, where));
  if (objective == ObjectiveKind::kDistil) return CheckTeacher(row, vocab, where);
  if (objective != ObjectiveKind::kPreference) return absl::OkStatus();
  if (row.rejected_ids.empty()) {
    return Bad("ROW_WITHOUT_REJECTED",
               absl::StrCat(where,
                            " has no rejected answer; give it `rejected`, or train with kind "
                            "SFT"));
  }
  return CheckSequence(row.rejected_ids, row.rejected_weights, row.weight, vocab, limit,
                       absl::StrCat(where, ", rejected answer,"));
}

}  // namespace

absl::Status CheckConfig(const ModelConfig& model, const TrainConfig& config) {
  std::vector<FieldViolation> violations;
  const auto require = [&](bool good, std::string field, std::string description) {
    if (!good) violations.push_back({std::move(field), std::move(description)});
  };
  require(config.rank >= 1 && config.rank <= 1024, "rank", "must be 1 to 1024");
  require(std::isfinite(config.alpha) && config.alpha > 0, "alpha", "must be over 0");
  require(!config.targets.empty(), "targets", "must name at least one layer");
  require(std::set<Target>(config.targets.begin(), config.targets.end()).size() ==
              config.targets.size(),
          "targets", "names a layer twice");
  require(std::isfinite(config.learning_rate) && config.learning_rate > 0, "learning_rate",
          "must be over 0");
  require(config.warmup_steps >= 0, "warmup_steps", "must be 0 or more");
  require(config.max_steps >= 0, "max_steps", "must be 0 or more");
  require(config.max_steps > 0 || (std::isfinite(config.epochs) && config.epochs > 0), "epochs",
          "must be over 0");
  for (const auto& [key, rank] : config.rank_pattern)
    require(rank >= 1 && rank <= 1024, "rank_pattern", "'" + key + "' must be 1 to 1024");
  for (const auto& [key, alpha] : config.alpha_pattern)
    require(std::isfinite(alpha) && alpha > 0, "alpha_pattern", "'" + key + "' must be over 0");
  require(config.dropout >= 0 && config.dropout < 1, "dropout", "must be in [0, 1)");
  require(config.neftune >= 0 && config.neftune <= 1000, "neftune", "must be 0 to 1000");
  require(config.decay_share > 0 && config.decay_share <= 1, "decay_share", "must be in (0, 1]");
  require(config.b_rate > 0 && config.b_rate <= 1000, "b_rate", "must be over 0, at most 1000");
  require(config.activation_bytes >= 0, "activation_bytes", "must be 0 or more");
  require(config.batch_rows >= 1, "batch_rows", "must be 1 or more");
  require(config.accumulation >= 1, "accumulation", "must be 1 or more");
  require(config.beta1 >= 0 && config.beta1 < 1, "beta1", "must be in [0, 1)");
  require(config.beta2 >= 0 && config.beta2 < 1, "beta2", "must be in [0, 1)");
  require(config.epsilon > 0, "epsilon", "must be over 0");
  require(config.weight_decay >= 0, "weight_decay", "must be 0 or more");
  require(config.max_gradient_norm >= 0, "max_gradient_norm", "must be 0 or more");
  require(config.max_row_tokens >= 2, "max_row_tokens", "must be 2 or more");
  require(config.max_pack_tokens >= 1, "max_pack_tokens", "must be 1 or more");
  require(config.min_shared_prefix >= 1, "min_shared_prefix", "must be 1 or more");
  const bool preference = config.objective == ObjectiveKind::kPreference;
  require(!preference || (config.preference_beta > 0 && config.preference_beta <= 100),
          "preference_beta", "must be over 0 and at most 100");
  require(config.label_smoothing >= 0 && config.label_smoothing < 0.5, "label_smoothing",
          "must be in [0, 0.5)");
  require(config.distil_weight >= 0 && config.distil_weight <= 1, "distil_weight",
          "must be in [0, 1]");
  require(config.kl_weight >= 0 && config.kl_weight <= 1000, "kl_weight", "must be in [0, 1000]");
  require(!preference || config.kl_weight == 0, "kl_weight",
          "must be 0 with preference training: its loss is against the base model already");
  // The plan is made of numbers that are in range.
  if (violations.empty()) violations = CheckPlan(model, config);
  if (violations.empty()) return absl::OkStatus();
  const std::string message =
      absl::StrCat("training configuration: ", violations[0].field, " ", violations[0].description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "BAD_TRAIN_CONFIG", .violations = violations});
}

absl::Status CheckRows(const BaseModel& base, const TrainConfig& config,
                       const std::vector<TrainRow>& rows, std::string_view kind) {
  if (rows.empty())
    return Bad("NO_ROWS", absl::StrCat("there are no ", std::string(kind), " rows"));
  const int64_t limit = LongestRow(base.config(), config);
  // Validation is by the data's own answers, whatever the teacher says.
  const bool no_teacher = kind == "validation" && config.objective == ObjectiveKind::kDistil;
  const ObjectiveKind objective = no_teacher ? ObjectiveKind::kSupervised : config.objective;
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string where = absl::StrCat(std::string(kind), " row ", i, " ('", rows[i].id, "')");
    RETURN_IF_ERROR(CheckRow(rows[i], objective, base.config().vocab_size, limit, where));
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
