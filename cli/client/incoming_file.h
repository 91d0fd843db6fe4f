// One file on its way from the server to disk.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::cli {

// Has a temporary name (`path`.part) until it is complete and its digest is verified; whatever goes
// wrong before that removes it. Not thread-safe.
//
// Errors name the file. RESOURCE_EXHAUSTED `DISK_FULL`, with the folder in what to try, when disk
// or quota is full; FAILED_PRECONDITION `FILE_WRITE_FAILED` for whatever else the system refuses.
class IncomingFile {
 public:
  // Begins `path`, relative to `folder`. Folders on the way are made. `sha256`: what the bytes must
  // have, with or without "sha256:"; empty = not known. DATA_LOSS `FORMAT_INVALID` when `path`
  // leads out of `folder`.
  static absl::StatusOr<std::unique_ptr<IncomingFile>> Open(const std::filesystem::path& folder,
                                                            const std::string& path,
                                                            const std::string& sha256);
  ~IncomingFile();
  IncomingFile(const IncomingFile&) = delete;
  IncomingFile& operator=(const IncomingFile&) = delete;

  absl::Status Add(std::string_view bytes);

  // Gives the file its name. Nothing is added afterwards. DATA_LOSS `DIGEST_MISMATCH` when the
  // bytes are not those that were announced.
  absl::Status Finish();

 private:
  class Digest;

  IncomingFile(std::filesystem::path folder, std::filesystem::path target, std::string expected);

  absl::Status Failure(std::string_view what, const std::filesystem::path& path, int error) const;

  const std::filesystem::path folder_;
  const std::filesystem::path target_;
  const std::filesystem::path temporary_;
  const std::string expected_;
  const std::unique_ptr<Digest> digest_;
  int fd_ = -1;
  bool is_partial_ = false;  // the temporary file is ours and there
};

}  // namespace crossover::cli
