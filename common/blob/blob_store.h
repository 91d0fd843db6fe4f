// Content-addressed bytes: rows' shards, adapters, base models, reports.
//
// A blob is named by "sha256:<hex>" of its bytes, an artifact (a folder) by the digest of its
// manifest, which is a blob too. Put* returns only after the bytes and their directory entry are on
// disk (fsync); a reader never sees part of a blob, and a failed put leaves nothing behind. Equal
// bytes are stored once.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/manifest.h"

namespace crossover {

// One blob being written. Not thread-safe. Destroying it without Commit leaves nothing.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // RESOURCE_EXHAUSTED `DISK_FULL` says how much was needed and available.
  virtual absl::Status Write(std::string_view bytes) = 0;
  // Makes the blob durable and returns its digest. Nothing may be called afterwards.
  virtual absl::StatusOr<std::string> Commit() = 0;
};

// One blob being read. Not thread-safe.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  // Up to `max` bytes from the current place; empty at the end. With verification, the last piece
  // of a damaged blob is DATA_LOSS `BLOB_CORRUPT` instead.
  virtual absl::StatusOr<std::string> Read(size_t max) = 0;
  virtual int64_t Size() const = 0;
};

struct ReadOptions {
  bool verify = false;  // compare the digest while reading
};

// Thread-safe. Implementations: DirectoryBlobStore. A digest that is not one is INVALID_ARGUMENT
// `DIGEST_INVALID`; one that is not stored NOT_FOUND `BLOB_NOT_FOUND`.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // `expected_size` (0 = unknown) lets the store refuse early when there is no room.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(int64_t expected_size = 0) = 0;
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view digest,
                                                           ReadOptions options = {}) = 0;
  virtual absl::StatusOr<int64_t> SizeOf(std::string_view digest) = 0;
  virtual absl::StatusOr<bool> Exists(std::string_view digest) = 0;
  // A local, read-only file with the blob's bytes, for mmap. Stays valid while the blob is pinned
  // or reachable.
  virtual absl::StatusOr<std::filesystem::path> LocalPath(std::string_view digest) = 0;
  // A local, read-only folder with an artifact's files, always the same one. Unlike Materialise it
  // is the store's own: made once, valid while the artifact is pinned or reachable, and nobody's to
  // remove. Several processes may ask at once.
  virtual absl::StatusOr<std::filesystem::path> LocalFolder(std::string_view artifact) = 0;

  // Keeps a blob, and all files of it if it is an artifact, from garbage collection. `holder` names
  // who needs it
  // ("scheduler/job/06b…"); a blob may have several. Both are idempotent.
  virtual absl::Status Pin(std::string_view digest, std::string_view holder) = 0;
  virtual absl::Status Unpin(std::string_view digest, std::string_view holder) = 0;
  // Removes every blob older than `min_age` that no pin reaches (through manifests) and that is not
  // in `roots` or reached by it, and the local folders of artifacts that are neither. A folder
  // younger than `min_age` keeps its artifact, like a pin. Returns the number of bytes freed.
  virtual absl::StatusOr<int64_t> CollectGarbage(const std::vector<std::string>& roots,
                                                 absl::Duration min_age) = 0;

  // --- Built from the above ---
  absl::StatusOr<std::string> PutBytes(std::string_view bytes);
  // Copies the file in. NOT_FOUND `FILE_NOT_FOUND` names the path.
  absl::StatusOr<std::string> PutFile(const std::filesystem::path& path);
  // Stores all regular files below `folder` and the manifest; returns the artifact's digest.
  // Symbolic links are refused.
  absl::StatusOr<std::string> PutFolder(std::string_view kind, const std::filesystem::path& folder);
  // The same of these files alone, paths relative to `folder`. Links are followed: the caller has
  // chosen the names.
  absl::StatusOr<std::string> PutFiles(std::string_view kind, const std::filesystem::path& folder,
                                       const std::vector<std::string>& names);
  // Stores a manifest whose files are stored already (NOT_FOUND otherwise).
  absl::StatusOr<std::string> PutManifest(const Manifest& manifest);

  // The whole blob, digest verified. FAILED_PRECONDITION `BLOB_TOO_LARGE` above `max_size`.
  absl::StatusOr<std::string> ReadAll(std::string_view digest, int64_t max_size = int64_t{1} << 30);
  absl::StatusOr<Manifest> ReadManifest(std::string_view digest);
  // LocalFolder of an artifact, LocalPath of any other blob: for what may be either, such as a base
  // model.
  absl::StatusOr<std::filesystem::path> LocalTree(std::string_view digest);
  // Path of one file of an artifact.
  absl::StatusOr<std::filesystem::path> LocalPathOf(std::string_view artifact,
                                                    std::string_view path);
  // Lays an artifact out as a folder (hard links where possible, else copies). `folder` must not
  // exist; it appears whole or not at all. The files are read-only and may be shared with the
  // store: never write to them.
  absl::Status Materialise(std::string_view artifact, const std::filesystem::path& folder);
};

}  // namespace crossover
