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

absl::Status Damaged(const std::filesystem::path& path, std::string_view why) {
  return Error(absl::StatusCode::kDataLoss, "CHECKPOINT_DAMAGED",
               absl::StrCat(path.string(), ": ", std::string(why)));
}

}  // namespace

absl::Status WriteRunState(const std::filesystem::path& folder, const RunState& state) {
  nlohmann::json json = {{"step", state.step},
                         {"trained_tokens", state.trained_tokens},
                         {"best_adapter", state.best_adapter},
                         {"validations_without_gain", state.validations_without_gain}};
  if (state.best_loss.has_value()) json["best_loss"] = *state.best_loss;
  const std::filesystem::path path = folder / kRunStateFile;
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump() << "\n";
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
  try {
    const nlohmann::json json = nlohmann::json::parse(text.str());
    RunState state;
    state.step = json.at("step").get<int64_t>();
    state.trained_tokens = json.at("trained_tokens").get<int64_t>();
    state.best_adapter = json.at("best_adapter").get<std::string>();
    state.validations_without_gain = json.at("validations_without_gain").get<int64_t>();
    if (json.contains("best_loss")) state.best_loss = json.at("best_loss").get<double>();
    return state;
  } catch (const nlohmann::json::exception& error) {
    return Damaged(path, error.what());
  }
}

}  // namespace crossover::worker
