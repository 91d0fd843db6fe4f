#include "services/data_curation/domain/row_state.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

absl::Status CorruptState(std::string_view what) {
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat("stored stage result: ", ToAbsl(what)));
}

Json FlagsToJson(const std::vector<Flag>& flags) {
  Json array = Json::array();
  for (const Flag& flag : flags) {
    array.push_back({{"stage", flag.stage},
                     {"code", flag.code},
                     {"score", flag.score},
                     {"evidence", flag.evidence}});
  }
  return array;
}

std::vector<Flag> FlagsFromJson(const Json& array) {
  std::vector<Flag> flags;
  for (const Json& flag : array) {
    flags.push_back({flag.at("stage"), flag.at("code"), flag.at("score"), flag.at("evidence")});
  }
  return flags;
}

// Calls `on_value` with the JSON of each line.
template <typename Fn>
absl::Status ForEachLine(std::string_view text, Fn on_value) {
  try {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      if (end == std::string_view::npos) return CorruptState("the last line was cut");
      on_value(Json::parse(text.substr(0, end)));
      text.remove_prefix(end + 1);
    }
    return absl::OkStatus();
  } catch (const Json::exception& e) {
    return CorruptState(e.what());
  }
}

std::string Line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

absl::Status Apply(std::string_view stage, const std::vector<RowChange>& changes,
                   RowStates& states) {
  for (const RowChange& change : changes) {
    if (change.row < 0 || change.row >= static_cast<int64_t>(states.size())) {
      return CorruptState(absl::StrCat("row ", change.row, " of ", states.size()));
    }
    RowState& state = states[change.row];
    if (!change.drop.empty()) state.drop_reason = absl::StrCat(ToAbsl(stage), "/", change.drop);
    if (change.split.has_value()) state.split = *change.split;
    if (change.cluster.has_value()) state.cluster = *change.cluster;
    state.flags.insert(state.flags.end(), change.flags.begin(), change.flags.end());
  }
  return absl::OkStatus();
}

std::string ChangesToJsonl(const std::vector<RowChange>& changes) {
  std::string out;
  for (const RowChange& change : changes) {
    Json value = {{"row", change.row}};
    if (!change.drop.empty()) value["drop"] = change.drop;
    if (!change.flags.empty()) value["flags"] = FlagsToJson(change.flags);
    if (change.split.has_value()) value["split"] = *change.split;
    if (change.cluster.has_value()) value["cluster"] = *change.cluster;
    out += Line(value);
  }
  return out;
}

absl::StatusOr<std::vector<RowChange>> ChangesFromJsonl(std::string_view text) {
  std::vector<RowChange> changes;
  RETURN_IF_ERROR(ForEachLine(text, [&changes](const Json& value) {
    RowChange change{.row = value.at("row")};
    change.drop = value.value("drop", "");
    if (value.contains("flags")) change.flags = FlagsFromJson(value["flags"]);
    if (value.contains("split")) change.split = value["split"].get<std::string>();
    if (value.contains("cluster")) change.cluster = value["cluster"].get<std::string>();
    changes.push_back(std::move(change));
  }));
  return changes;
}

std::string StatesToJsonl(const RowStates& states) {
  std::string out;
  for (const RowState& state : states) {
    Json value = Json::object();
    if (!state.drop_reason.empty()) value["drop_reason"] = state.drop_reason;
    if (!state.split.empty()) value["split"] = state.split;
    if (!state.cluster.empty()) value["cluster"] = state.cluster;
    if (!state.flags.empty()) value["flags"] = FlagsToJson(state.flags);
    out += Line(value);
  }
  return out;
}

absl::StatusOr<RowStates> StatesFromJsonl(std::string_view text) {
  RowStates states;
  RETURN_IF_ERROR(ForEachLine(text, [&states](const Json& value) {
    RowState state;
    state.drop_reason = value.value("drop_reason", "");
    state.split = value.value("split", "");
    state.cluster = value.value("cluster", "");
    if (value.contains("flags")) state.flags = FlagsFromJson(value["flags"]);
    states.push_back(std::move(state));
  }));
  return states;
}

}  // namespace crossover::curation
