#include "llm/train/checkpoint_folder.h"

#include <algorithm>
#include <functional>
#include <string>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

namespace fs = std::filesystem;

namespace {

constexpr size_t kDigits = 12;
const std::string kStem = "step-";

bool IsCheckpoint(const std::string& name) {
  return name.size() == kStem.size() + kDigits && name.starts_with(kStem) &&
         std::all_of(name.begin() + kStem.size(), name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

// WriteFolder's temporary name (llm/lora/folder.h).
bool IsPartial(const std::string& name) {
  return name.starts_with(kStem) && absl::StrContains(name, ".partial-");
}

absl::Status FolderError(const fs::path& folder, const char* what, const std::error_code& error) {
  return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
               absl::StrCat(folder.string(), " could not be ", what, ": ", error.message()));
}

absl::StatusOr<std::vector<fs::path>> EntriesIn(const fs::path& folder,
                                                bool (*wanted)(const std::string&)) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (wanted(it->path().filename().string())) found.push_back(it->path());
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return FolderError(folder, "read", error);
  std::ranges::sort(found, std::greater<>());
  return found;
}

}  // namespace

fs::path CheckpointPath(const fs::path& folder, int64_t step) {
  return folder / absl::StrFormat("%s%0*d", kStem, kDigits, step);
}

absl::StatusOr<std::vector<fs::path>> CheckpointsIn(const fs::path& folder) {
  return EntriesIn(folder, &IsCheckpoint);
}

absl::StatusOr<fs::path> ResumeFromNewest(
    const fs::path& folder, const std::function<absl::Status(const fs::path&)>& resume,
    const std::function<void(const absl::Status&)>& passed_over) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> checkpoints, CheckpointsIn(folder));
  for (const fs::path& checkpoint : checkpoints) {
    const absl::Status status = resume(checkpoint);
    if (status.ok()) return checkpoint;
    if (!HasReason(status, "CHECKPOINT_DAMAGED")) return status;
    passed_over(status);
  }
  return fs::path();
}

absl::Status KeepNewest(const fs::path& folder, size_t count) {
  ASSIGN_OR_RETURN(std::vector<fs::path> gone, CheckpointsIn(folder));
  gone.erase(gone.begin(), gone.begin() + static_cast<int64_t>(std::min(count, gone.size())));
  ASSIGN_OR_RETURN(const std::vector<fs::path> partial, EntriesIn(folder, &IsPartial));
  gone.insert(gone.end(), partial.begin(), partial.end());
  for (const fs::path& path : gone) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) return FolderError(path, "removed", error);
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
