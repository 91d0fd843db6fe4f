// Files to and from the server, in pieces, with progress.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/context.h"
#include "crossover/curation/v1/file.pb.h"

namespace crossover::cli {

// Uploads a file and waits until the server has validated it. A broken upload goes on where it
// stopped. CLI_USAGE when the file cannot be read; ROW_INVALID, with line and field of the first
// problems, when no line of it is a row. Lines that are left out of a file that is taken are named
// in a warning for people.
absl::StatusOr<curation::v1::File> UploadFile(Context& context, const std::filesystem::path& path,
                                              const std::string& purpose);

// What DownloadArtifact wrote.
struct Downloaded {
  int64_t files = 0;
  int64_t bytes = 0;
};

// Writes the files of artifact `digest` below `folder`, each under a temporary name until its
// digest is verified. A single-file artifact is written as `folder / single_name`. DATA_LOSS when
// bytes do not have their digest.
absl::StatusOr<Downloaded> DownloadArtifact(Context& context, const std::string& digest,
                                            const std::filesystem::path& folder,
                                            const std::string& single_name);

}  // namespace crossover::cli
