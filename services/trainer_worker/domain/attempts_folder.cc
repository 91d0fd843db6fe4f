#include "services/trainer_worker/domain/attempts_folder.h"

#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/trainer_worker/domain/file_error.h"

namespace crossover::worker {
namespace {

namespace fs = std::filesystem;

constexpr char kMark[] = ".crossover-trainer-worker";

}  // namespace

fs::path AttemptsFolder(const fs::path& work_folder) { return work_folder / "attempts"; }

absl::Status EmptyAttemptsFolder(const fs::path& work_folder) {
  const fs::path folder = AttemptsFolder(work_folder);
  std::error_code error;
  if (fs::exists(folder / kMark, error)) {
    // The mark stays: a kill in between must not leave a folder that nobody may empty.
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      if (entry.path().filename() != kMark) fs::remove_all(entry.path(), error);
      if (error) break;
    }
    if (error) return FileError("empty", folder, error.value());
  } else if (fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    return Error(absl::StatusCode::kFailedPrecondition, "FOLDER_NOT_EMPTY",
                 absl::StrCat(folder.string(),
                              " was not made by a worker, so what is in it stays; move it away or "
                              "give another --work-folder"));
  }
  fs::create_directories(folder, error);
  if (error) return FileError("make", folder, error.value());
  std::ofstream(folder / kMark) << "made by crossover-trainer-worker, which empties this folder\n";
  return absl::OkStatus();
}

}  // namespace crossover::worker
