#include "services/trainer_worker/domain/run_state.h"

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/trainer_worker/domain/file_error.h"

namespace crossover::worker {
namespace {

absl::Status Damaged(const std::filesystem::path& path, absl::string_view why) {
  return Error(absl::StatusCode::kDataLoss, "CHECKPOINT_DAMAGED",
               absl::StrCat(path.string(), ": ", why));
}

}  // namespace

std::string RunStateToJson(const RunState& state) {
  nlohmann::json json = {{"step", state.step},
                         {"trained_tokens", state.trained_tokens},
                         {"best_adapter", state.best_adapter},
                         {"validations_without_gain", state.validations_without_gain},
                         {"loss_sum", state.loss_sum},
                         {"loss_steps", state.loss_steps},
                         {"told_alarms", state.told_alarms},
                         {"curve", nlohmann::json::array()}};
  for (const CurvePoint& point : state.curve) {
    json["curve"].push_back({point.step, point.train_loss, point.valid_loss});
  }
  if (state.best_loss.has_value()) json["best_loss"] = *state.best_loss;
  return json.dump();
}

absl::StatusOr<RunState> RunStateFromJson(const std::string& text) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    RunState state;
    state.step = json.at("step").get<int64_t>();
    state.trained_tokens = json.at("trained_tokens").get<int64_t>();
    state.best_adapter = json.at("best_adapter").get<std::string>();
    state.validations_without_gain = json.at("validations_without_gain").get<int64_t>();
    if (json.contains("best_loss")) state.best_loss = json.at("best_loss").get<double>();
    // Checkpoints of earlier versions have none of these.
    state.loss_sum = json.value("loss_sum", 0.0);
    state.loss_steps = json.value("loss_steps", int64_t{0});
    state.told_alarms = json.value("told_alarms", std::vector<std::string>());
    for (const nlohmann::json& point : json.value("curve", nlohmann::json::array())) {
      state.curve.push_back(
          {point.at(0).get<int64_t>(), point.at(1).get<double>(), point.at(2).get<double>()});
    }
    return state;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::Status WriteRunState(const std::filesystem::path& folder, const RunState& state) {
  const std::filesystem::path path = folder / kRunStateFile;
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << RunStateToJson(state) << "\n";
  file.close();
  if (file) return absl::OkStatus();
  return FileError("write", path, errno);
}

absl::StatusOr<RunState> ReadRunState(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kRunStateFile;
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file && errno != ENOENT) return FileError("read", path, errno);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Damaged(path, "cannot be read");
  absl::StatusOr<RunState> state = RunStateFromJson(text.str());
  if (!state.ok()) return Damaged(path, state.status().message());
  return state;
}

}  // namespace crossover::worker
