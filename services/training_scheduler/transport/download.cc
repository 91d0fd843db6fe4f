#include "services/training_scheduler/transport/download.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr int64_t kLargestManifest = 1 << 20;

// The files to send: those of a folder, or the blob itself.
absl::StatusOr<std::vector<ManifestFile>> FilesOf(BlobStore& blobs,
                                                  const v1::DownloadArtifactRequest& request) {
  ASSIGN_OR_RETURN(int64_t size, blobs.SizeOf(request.digest()));
  absl::StatusOr<Manifest> manifest = size <= kLargestManifest
                                          ? blobs.ReadManifest(request.digest())
                                          : absl::InvalidArgumentError("too large for a manifest");
  if (!manifest.ok()) {
    const std::string hex = request.digest().substr(request.digest().find(':') + 1);
    return std::vector<ManifestFile>{{hex, size, request.digest()}};
  }
  if (request.path().empty()) return manifest->files;
  const ManifestFile* file = manifest->Find(request.path());
  if (file == nullptr) {
    return Error(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND",
                 absl::StrCat("artifact ", request.digest(), " has no file ", request.path()));
  }
  return std::vector<ManifestFile>{*file};
}

absl::Status Gone() { return absl::CancelledError("the client has gone"); }

}  // namespace

absl::Status SendArtifact(BlobStore& blobs, const v1::DownloadArtifactRequest& request,
                          const rpc::Stream<v1::DownloadArtifactResponse>& stream) {
  ASSIGN_OR_RETURN(std::vector<ManifestFile> files, FilesOf(blobs, request));
  int64_t total = 0;
  for (const ManifestFile& file : files) total += file.size;
  int64_t skip = request.offset();
  for (const ManifestFile& file : files) {
    ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, blobs.Open(file.sha256));
    v1::DownloadArtifactResponse piece;
    piece.set_path(file.path);
    piece.set_size_bytes(file.size);
    piece.set_sha256(file.sha256);
    piece.set_total_bytes(std::exchange(total, 0));
    while (true) {
      ASSIGN_OR_RETURN(std::string bytes, reader->Read(kPiece));
      const bool end = bytes.empty();
      const int64_t cut = std::min<int64_t>(skip, static_cast<int64_t>(bytes.size()));
      skip -= cut;
      piece.set_data(bytes.substr(cut));
      if (!piece.data().empty() || !piece.path().empty()) {
        if (!stream.WriteBlocking(std::move(piece))) return Gone();
      }
      piece.Clear();
      if (end) break;
    }
    skip = 0;  // the offset is within the first file
  }
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
