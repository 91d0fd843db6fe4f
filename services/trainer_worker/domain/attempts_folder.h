// Where attempts at jobs have their folders: a subfolder of the work folder that this program made
// and marked, so that emptying it can never take anything else along.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace crossover::worker {

std::filesystem::path AttemptsFolder(const std::filesystem::path& work_folder);

// Removes what an earlier life left behind and makes the folder. FAILED_PRECONDITION
// FOLDER_NOT_EMPTY if there is one without the mark: then nothing is removed.
absl::Status EmptyAttemptsFolder(const std::filesystem::path& work_folder);

}  // namespace crossover::worker
