// Files by stdio, and what is said when one cannot be written.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/status.h"

namespace crossover::curation {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using StdioFile = std::unique_ptr<std::FILE, CloseFile>;

// ResourceExhausted DISK_FULL, whose message ends with `then` ("go on with the upload"), or
// Unavailable FILE_WRITE_FAILED. `error` is an errno.
absl::Status WriteError(const std::filesystem::path& path, int error, std::string_view then);

}  // namespace crossover::curation
