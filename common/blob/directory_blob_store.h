// A BlobStore in a directory of a local or shared file system.
//
//   <root>/sha256/ab/cdef…   the blobs (mode 0444)
//   <root>/tmp/…             blobs and folders being written; emptied of old ones by Create
//   <root>/pins/<hex>/<holder in URL-safe base64>   one empty file a pin
//   <root>/folders/<hex>/…   artifacts that LocalFolder has laid out, as links to the blobs
//
// The links are relative, as others may see the root at another place, and symbolic rather than
// second names of the files, so that a collected blob frees its bytes.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "common/time/clock.h"

namespace crossover {

struct DirectoryBlobStoreOptions {
  std::filesystem::path root;
  // Space that stays free: a put that would go below is refused with RESOURCE_EXHAUSTED
  // `DISK_FULL`.
  int64_t reserve_bytes = 64 << 20;
  // Whether to fsync; false only in tests.
  bool sync = true;
};

// Makes the directories. PERMISSION_DENIED or UNAVAILABLE with the path if that fails. Several
// processes may share a root.
absl::StatusOr<std::unique_ptr<BlobStore>> NewDirectoryBlobStore(DirectoryBlobStoreOptions options,
                                                                 Clock& clock);

}  // namespace crossover
