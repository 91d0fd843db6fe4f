#include "services/trainer_worker/domain/sweep_state.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/trainer_worker/domain/file_error.h"

namespace crossover::worker {
namespace {

using nlohmann::json;

constexpr double kSilentShare = 0.2;

absl::Status DamagedSweep(const std::filesystem::path& path, absl::string_view why) {
  return Error(absl::StatusCode::kDataLoss, "CHECKPOINT_DAMAGED",
               absl::StrCat(path.string(), ": ", why));
}

std::optional<TrialEnd> ParseEnd(const std::string& name) {
  for (const TrialEnd end :
       {TrialEnd::kFinished, TrialEnd::kStoppedEarly, TrialEnd::kStoppedByMedian}) {
    if (Name(end) == name) return end;
  }
  return std::nullopt;
}

absl::StatusOr<SweepState> SweepFromJson(const std::string& text) {
  try {
    SweepState state;
    const json object = json::parse(text);
    for (const json& trial : object.at("trials")) {
      TrialResult result;
      const std::optional<TrialEnd> end = ParseEnd(trial.at("end").get<std::string>());
      if (!end.has_value()) return absl::InvalidArgumentError("a trial ended in an unknown way");
      result.end = *end;
      result.steps = trial.at("steps").get<int64_t>();
      ASSIGN_OR_RETURN(result.run, RunStateFromJson(trial.at("run").dump()));
      state.trials.push_back(std::move(result));
    }
    return state;
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

// The best loss among validations in the first `share` of a trial's steps.
std::optional<double> BestUntil(const TrialResult& trial, double share) {
  std::optional<double> best;
  for (const CurvePoint& point : trial.run.curve) {
    const double place = static_cast<double>(point.step) / static_cast<double>(trial.steps);
    if (place > share + 1e-9) break;
    best = std::min(best.value_or(point.valid_loss), point.valid_loss);
  }
  return best;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

std::string_view Name(TrialEnd end) {
  switch (end) {
    case TrialEnd::kFinished:
      return "FINISHED";
    case TrialEnd::kStoppedEarly:
      return "STOPPED_EARLY";
    case TrialEnd::kStoppedByMedian:
      return "STOPPED_BY_MEDIAN";
  }
  return "UNKNOWN";
}

absl::Status WriteSweepState(const std::filesystem::path& folder, const SweepState& state) {
  json trials = json::array();
  for (const TrialResult& trial : state.trials) {
    trials.push_back({{"end", Name(trial.end)},
                      {"steps", trial.steps},
                      {"run", json::parse(RunStateToJson(trial.run))}});
  }
  const std::filesystem::path path = folder / kSweepStateFile;
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json{{"trials", std::move(trials)}}.dump() << "\n";
  file.close();
  if (file) return absl::OkStatus();
  return FileError("write", path, errno);
}

absl::StatusOr<SweepState> ReadSweepState(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kSweepStateFile;
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file && errno != ENOENT) return FileError("read", path, errno);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return DamagedSweep(path, "cannot be read");
  absl::StatusOr<SweepState> state = SweepFromJson(text.str());
  if (!state.ok()) return DamagedSweep(path, state.status().message());
  return state;
}

std::optional<size_t> BestTrial(const SweepState& state) {
  std::optional<size_t> best;
  for (size_t i = 0; i < state.trials.size(); ++i) {
    const std::optional<double>& loss = state.trials[i].run.best_loss;
    if (!loss.has_value()) continue;
    if (!best.has_value() || *loss < *state.trials[*best].run.best_loss) best = i;
  }
  return best;
}

bool IsHopeless(const SweepState& state, const RunState& run, int64_t step, int64_t steps) {
  if (!run.best_loss.has_value() || steps <= 0) return false;
  const double share = static_cast<double>(step) / static_cast<double>(steps);
  if (share < kSilentShare) return false;
  std::vector<double> others;
  for (const TrialResult& trial : state.trials) {
    if (const auto best = BestUntil(trial, share)) others.push_back(*best);
  }
  return others.size() >= 2 && *run.best_loss > Median(std::move(others));
}

std::string ReportOf(const SweepPlan& plan, const SweepState& state) {
  json trials = json::array();
  for (size_t i = 0; i < state.trials.size(); ++i) {
    const TrialResult& trial = state.trials[i];
    json values = json::object(), curve = json::array();
    for (const auto& [field, value] : plan.trials[i].values) {
      values[field] = json::parse(value, nullptr, /*allow_exceptions=*/false);
    }
    for (const CurvePoint& point : trial.run.curve) {
      curve.push_back({{"step", point.step},
                       {"train_loss", point.train_loss},
                       {"valid_loss", point.valid_loss}});
    }
    json out = {{"values", std::move(values)},         {"end", Name(trial.end)},
                {"steps_done", trial.run.step},        {"steps", trial.steps},
                {"curve", std::move(curve)},           {"adapter", trial.run.best_adapter},
                {"overfitting", trial.run.told_alarms}};
    if (trial.run.best_loss.has_value()) out["best_valid_loss"] = *trial.run.best_loss;
    trials.push_back(std::move(out));
  }
  json report = {{"format", "crossover.sweep_report.v1"}, {"trials", std::move(trials)}};
  if (const auto best = BestTrial(state)) report["best"] = *best;
  return report.dump(2) + "\n";
}

}  // namespace crossover::worker
