// Errors of the machine's files, by errno.
#pragma once

#include <filesystem>
#include <string_view>

#include "absl/status/status.h"

namespace crossover::worker {

// What could not be done with `path`: RESOURCE_EXHAUSTED DISK_FULL only when the disk is,
// PERMISSION_DENIED FILE_UNUSABLE when it is not allowed, else UNAVAILABLE FILE_UNUSABLE.
absl::Status FileError(std::string_view what, const std::filesystem::path& path, int code);

}  // namespace crossover::worker
