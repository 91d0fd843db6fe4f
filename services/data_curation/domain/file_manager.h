// Files that people upload: bytes arrive in pieces, are checked line by line, and become a blob.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "common/id/uuid7.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

struct FileManagerOptions {
  std::filesystem::path upload_folder;     // bytes of unfinished uploads; local to this instance
  int64_t max_bytes = int64_t{512} << 20;  // the published limit
  int64_t max_problems = 10000;            // kept per file; problem_count counts all
};

// Thread-safe. Borrows everything.
class FileManager {
 public:
  FileManager(FileManagerOptions options, CurationStore& store, BlobStore& blobs,
              UuidGenerator& ids);

  // Begins a file. InvalidArgument FIELD_REQUIRED without filename.
  absl::StatusOr<FileRecord> Create(FileRecord file, const RequestKey& key);

  // size_bytes of an unfinished upload is what has arrived.
  absl::StatusOr<FileRecord> Get(const std::string& project, const std::string& id);

  // Bytes of one upload, written by one caller at a time. Destroying it keeps what has arrived.
  class Upload {
   public:
    ~Upload();
    // ResourceExhausted DISK_FULL; InvalidArgument FILE_TOO_LARGE.
    absl::Status Append(std::string_view bytes);

   private:
    friend class FileManager;
    Upload(int fd, std::filesystem::path path, int64_t size, int64_t max_bytes)
        : fd_(fd), path_(std::move(path)), size_(size), max_bytes_(max_bytes) {}
    const int fd_;
    const std::filesystem::path path_;
    int64_t size_;
    const int64_t max_bytes_;
  };
  // Goes on at `offset`, which must be the number of bytes that have arrived (InvalidArgument
  // UPLOAD_OFFSET_INVALID with metadata.expected_offset). FailedPrecondition STATE_INVALID if the
  // upload is over, Aborted UPLOAD_BUSY if another call writes.
  absl::StatusOr<std::unique_ptr<Upload>> OpenUpload(const FileRecord& file, int64_t offset);

  // All bytes are there: checks `sha256` (when given; InvalidArgument DIGEST_MISMATCH), stores the
  // blob and validates the rows. Returns the file READY or REJECTED. A call that was interrupted
  // may be repeated.
  absl::StatusOr<FileRecord> Finish(const std::string& project, const std::string& id,
                                    const std::string& sha256);

  absl::Status Delete(const std::string& project, const std::string& id);

 private:
  std::filesystem::path PartOf(const std::string& id) const {
    return options_.upload_folder / (id + ".part");
  }
  absl::StatusOr<FileRecord> StoreBytes(FileRecord file, const std::string& sha256);
  absl::StatusOr<FileRecord> Validate(FileRecord file);

  const FileManagerOptions options_;
  CurationStore& store_;
  BlobStore& blobs_;
  UuidGenerator& ids_;
};

}  // namespace crossover::curation
