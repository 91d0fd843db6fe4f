#include "llm/train/validate.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

namespace {

absl::Status Bad(std::string_view reason, std::string message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckRow(const TrainRow& row, int64_t vocab, int64_t limit, const std::string& where) {
  if (row.ids.size() < 2 || row.token_weights.size() != row.ids.size()) {
    return Bad(
        "BAD_ROW",
        absl::StrCat(where, " has ", row.ids.size(), " tokens and ", row.token_weights.size(),
                     " token weights; at least 2 tokens and one weight for each are needed"));
  }
  if (static_cast<int64_t>(row.ids.size()) > limit) {
    return Bad(
        "ROW_TOO_LONG",
        absl::StrCat(where, " has ", row.ids.size(), " tokens; at most ", limit,
                     " fit. Shorten the row or raise max_row_tokens up to the model's context"));
  }
  for (const int32_t id : row.ids) {
    if (id < 0 || id >= vocab) {
      return Bad(
          "TOKEN_OUT_OF_RANGE",
          absl::StrCat(where, " has token ", id, "; the model's vocabulary is 0 to ", vocab - 1));
    }
  }
  double trained = 0;
  for (size_t t = 1; t < row.token_weights.size(); ++t) {
    const float weight = row.token_weights[t] * row.weight;
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

}  // namespace

absl::Status CheckConfig(const TrainConfig& config) {
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
  int64_t context = base.config().context_length;
  if (base.config().sliding_window > 0) context = std::min(context, base.config().sliding_window);
  const int64_t limit = std::min({config.max_row_tokens, context, int64_t{32768}});
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string where = absl::StrCat(std::string(kind), " row ", i, " ('", rows[i].id, "')");
    RETURN_IF_ERROR(CheckRow(rows[i], base.config().vocab_size, limit, where));
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
