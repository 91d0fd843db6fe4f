// The manifest of a folder artifact: what it holds, and the bytes its digest is taken of.
//
//   {"files":[{"path":"adapter_config.json","sha256":"sha256:…","size":612},…],"format":"crossover.artifact.v1","kind":"adapter"}
//
// RFC 8785 form, files sorted by path, no time, host or job inside: equal folders give equal
// digests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover {

struct ManifestFile {
  std::string path;  // relative, '/' between segments, no empty, "." or ".." segment
  int64_t size = 0;
  std::string sha256;  // digest of the file's blob, "sha256:…"
};

struct Manifest {
  std::string kind;  // "adapter", "dataset", "checkpoint", "report", …
  std::vector<ManifestFile> files;

  // The file with this path, or nullptr.
  const ManifestFile* Find(std::string_view path) const;
  // Sum of sizes.
  int64_t TotalSize() const;
};

// Sorts the files and returns the hashed bytes. INVALID_ARGUMENT `MANIFEST_INVALID` for an unsafe
// or doubled path or a bad digest.
absl::StatusOr<std::string> SerializeManifest(Manifest manifest);
// The inverse; checks format, order and paths. INVALID_ARGUMENT `MANIFEST_INVALID`.
absl::StatusOr<Manifest> ParseManifest(std::string_view bytes);
// The artifact's digest: that of SerializeManifest.
absl::StatusOr<std::string> ManifestDigest(const Manifest& manifest);

// True for a relative path that stays inside its folder.
bool IsSafeRelativePath(std::string_view path);

}  // namespace crossover
