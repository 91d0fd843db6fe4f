#include "common/blob/blob_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover {
namespace {

namespace fs = std::filesystem;
constexpr size_t kPiece = 1 << 20;
constexpr int64_t kLargestManifest = 64 << 20;

absl::Status FileError(const std::string& what, const fs::path& path, const std::error_code& code) {
  const bool full = IsDiskFull(code.value());
  return Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
               full ? "DISK_FULL" : "FILE_UNUSABLE",
               absl::StrCat(what, " ", path.string(), ": ", code.message(),
                            full ? "; free some space, or choose a folder on a larger disk"
                                 : "; check that the folder exists and that this user may write "
                                   "there, or choose another one"));
}

// Regular files below `folder`, as paths relative to it.
absl::StatusOr<std::vector<fs::path>> ListFiles(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code code;
  if (!fs::is_directory(folder, code)) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 folder.string() + " is not a folder");
  }
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end;
       it.increment(code)) {
    if (it->is_directory() && !it->is_symlink()) continue;
    if (!it->is_regular_file() || it->is_symlink()) {
      return Error(
          absl::StatusCode::kInvalidArgument, "FILE_UNUSABLE",
          it->path().string() + " is neither a regular file nor a folder (links are refused)");
    }
    out.push_back(fs::relative(it->path(), folder));
  }
  if (code) return FileError("cannot list", folder, code);
  return out;
}

absl::Status LinkOrCopy(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::create_hard_link(from, to, code);
  if (!code) return absl::OkStatus();
  fs::copy_file(from, to, code);  // another file system, or links are not allowed
  if (code) return FileError("cannot write", to, code);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> BlobStore::PutBytes(std::string_view bytes) {
  ASSIGN_OR_RETURN(std::unique_ptr<BlobWriter> writer,
                   NewWriter(static_cast<int64_t>(bytes.size())));
  RETURN_IF_ERROR(writer->Write(bytes));
  return writer->Commit();
}

absl::StatusOr<std::string> BlobStore::PutFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::error_code code;
  const auto size = fs::file_size(path, code);
  if (!file || code) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 absl::StrCat("cannot open ", path.string(), ": ",
                              code ? code.message() : std::strerror(errno)));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<BlobWriter> writer, NewWriter(static_cast<int64_t>(size)));
  std::string buffer(kPiece, '\0');
  while (file.read(buffer.data(), kPiece) || file.gcount() > 0) {
    RETURN_IF_ERROR(writer->Write({buffer.data(), static_cast<size_t>(file.gcount())}));
  }
  if (file.bad()) {
    return Error(absl::StatusCode::kUnavailable, "FILE_UNREADABLE", "cannot read " + path.string());
  }
  return writer->Commit();
}

absl::StatusOr<std::string> BlobStore::PutFolder(std::string_view kind, const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::vector<fs::path> files, ListFiles(folder));
  std::vector<std::string> names;
  for (const fs::path& file : files) names.push_back(file.generic_string());
  return PutFiles(kind, folder, names);
}

absl::StatusOr<std::string> BlobStore::PutFiles(std::string_view kind, const fs::path& folder,
                                                const std::vector<std::string>& names) {
  Manifest manifest{.kind = std::string(kind)};
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const std::string digest, PutFile(folder / name));
    ASSIGN_OR_RETURN(const int64_t size, SizeOf(digest));
    manifest.files.push_back({name, size, digest});
  }
  return PutManifest(manifest);
}

absl::StatusOr<std::string> BlobStore::PutManifest(const Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string bytes, SerializeManifest(manifest));
  for (const ManifestFile& file : manifest.files) {
    ASSIGN_OR_RETURN(const int64_t size, SizeOf(file.sha256));
    if (size == file.size) continue;
    return Error(absl::StatusCode::kInvalidArgument, "MANIFEST_INVALID",
                 absl::StrCat(file.path, " has ", size, " bytes, the manifest says ", file.size));
  }
  return PutBytes(bytes);
}

absl::StatusOr<std::string> BlobStore::ReadAll(std::string_view digest, int64_t max_size) {
  ASSIGN_OR_RETURN(std::unique_ptr<BlobReader> reader, Open(digest, {.verify = true}));
  if (reader->Size() > max_size) {
    return Error(absl::StatusCode::kFailedPrecondition, "BLOB_TOO_LARGE",
                 absl::StrCat(ToAbsl(digest), " has ", reader->Size(), " bytes; at most ", max_size,
                              " are read into memory here"));
  }
  std::string out;
  out.reserve(static_cast<size_t>(reader->Size()));
  for (;;) {
    ASSIGN_OR_RETURN(const std::string piece, reader->Read(kPiece));
    if (piece.empty()) return out;
    out += piece;
  }
}

absl::StatusOr<Manifest> BlobStore::ReadManifest(std::string_view digest) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadAll(digest, kLargestManifest));
  return ParseManifest(bytes);
}

absl::StatusOr<fs::path> BlobStore::LocalTree(std::string_view digest) {
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, Open(digest));
  ASSIGN_OR_RETURN(const std::string head, reader->Read(1));
  // Most blobs are no JSON: don't read them whole.
  if (head != "{" || reader->Size() > kLargestManifest) return LocalPath(digest);
  const absl::Status manifest = ReadManifest(digest).status();
  if (HasReason(manifest, "MANIFEST_INVALID")) return LocalPath(digest);
  RETURN_IF_ERROR(manifest);
  return LocalFolder(digest);
}

absl::StatusOr<fs::path> BlobStore::LocalPathOf(std::string_view artifact, std::string_view path) {
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(artifact));
  const ManifestFile* file = manifest.Find(path);
  if (file == nullptr) {
    return Error(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND",
                 absl::StrCat("artifact ", ToAbsl(artifact), " has no file ", ToAbsl(path)));
  }
  return LocalPath(file->sha256);
}

absl::Status BlobStore::Materialise(std::string_view artifact, const fs::path& folder) {
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(artifact));
  std::error_code code;
  if (fs::exists(folder, code)) {
    return Error(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
                 folder.string() + " exists already");
  }
  const fs::path partial = folder.string() + ".partial-" + std::to_string(::getpid());
  fs::create_directories(partial, code);
  if (code) return FileError("cannot make", partial, code);
  const absl::Status status = [&]() -> absl::Status {
    for (const ManifestFile& file : manifest.files) {
      ASSIGN_OR_RETURN(const fs::path blob, LocalPath(file.sha256));
      const fs::path target = partial / file.path;
      fs::create_directories(target.parent_path(), code);
      if (code) return FileError("cannot make", target.parent_path(), code);
      RETURN_IF_ERROR(LinkOrCopy(blob, target));
    }
    fs::rename(partial, folder, code);
    return code ? FileError("cannot rename to", folder, code) : absl::OkStatus();
  }();
  if (!status.ok()) fs::remove_all(partial, code);
  return status;
}

}  // namespace crossover
