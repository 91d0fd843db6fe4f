// Private to common/dataset: a zstd file written and read as a stream, with errors that name the
// file.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::dataset::internal {

// Writes `bytes` to `path` and syncs file and folder. ResourceExhausted DISK_FULL, else Unavailable
// FILE_WRITE.
absl::Status WriteFileSynced(const std::filesystem::path& path, std::string_view bytes);

// Not thread-safe. Close() must be called for a complete file.
class ZstdWriter {
 public:
  static absl::StatusOr<std::unique_ptr<ZstdWriter>> Create(std::filesystem::path path);
  ~ZstdWriter();

  absl::Status Write(std::string_view bytes);
  absl::Status Close();  // ends the frame and syncs to disk

 private:
  struct State;
  explicit ZstdWriter(std::unique_ptr<State> state);
  absl::Status Compress(std::string_view bytes, bool last);
  std::unique_ptr<State> state_;
};

// Not thread-safe.
class ZstdLineReader {
 public:
  static absl::StatusOr<std::unique_ptr<ZstdLineReader>> Open(std::filesystem::path path);
  ~ZstdLineReader();

  // The next line without its newline into `line`; false at the end. DataLoss DIGEST_MISMATCH for a
  // damaged or cut file.
  absl::StatusOr<bool> Next(std::string& line);

 private:
  struct State;
  explicit ZstdLineReader(std::unique_ptr<State> state);
  absl::StatusOr<bool> Fill();
  std::unique_ptr<State> state_;
};

}  // namespace crossover::dataset::internal
