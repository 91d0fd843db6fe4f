#include "common/blob/directory_blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover {
namespace {

namespace fs = std::filesystem;
constexpr absl::Duration kAbandoned =
    absl::Hours(24);  // a temporary file this old belongs to nobody

absl::Status ErrnoError(std::string_view what, const fs::path& path) {
  const int code = errno;
  const absl::StatusCode status = code == EACCES || code == EPERM || code == EROFS
                                      ? absl::StatusCode::kPermissionDenied
                                      : absl::StatusCode::kUnavailable;
  return Error(status, "BLOB_STORE_UNUSABLE",
               absl::StrCat("blob store: cannot ", ToAbsl(what), " ", path.string(), ": ",
                            std::strerror(code)));
}

int64_t AvailableBytes(const fs::path& path) {
  struct statvfs info{};
  if (::statvfs(path.c_str(), &info) != 0)
    return INT64_MAX;  // unknown: let the write itself find out
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

// "1.3 MiB", "812 bytes": what people compare with df and ls.
std::string Bytes(int64_t bytes) {
  if (bytes < 1 << 20) return absl::StrCat(bytes, " bytes");
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

// `needed` bytes of a blob have no room; 0 = not known how many.
absl::Status DiskFull(const fs::path& root, int64_t needed) {
  const int64_t available = AvailableBytes(root);
  return Error(absl::StatusCode::kResourceExhausted,
               absl::StrCat("no room in ", root.string(), ": ",
                            needed > 0 ? Bytes(needed) + " needed, " : "", Bytes(available),
                            " available; free some space or move the data folder to a larger disk"),
               {.reason = "DISK_FULL",
                .metadata = {{"path", root.string()},
                             {"needed_bytes", std::to_string(needed)},
                             {"available_bytes", std::to_string(available)}}});
}

// Something could not be written, by errno. EFBIG: the limit on file size (ulimit -f) is the disk
// this process has.
absl::Status WriteFailed(const fs::path& root, std::string_view what, const fs::path& path,
                         int64_t needed = 0) {
  const bool full = IsDiskFull(errno) || errno == EFBIG;
  return full ? DiskFull(root, needed) : ErrnoError(what, path);
}

absl::Status SyncFolder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError("open", folder);
  const int result = ::fsync(fd);
  ::close(fd);
  return result == 0 ? absl::OkStatus() : ErrnoError("fsync", folder);
}

// Where things lie below the root.
struct Layout {
  fs::path root;
  fs::path Blobs() const { return root / "sha256"; }
  fs::path Temporary() const { return root / "tmp"; }
  fs::path Pins() const { return root / "pins"; }
  fs::path Folders() const { return root / "folders"; }
  // `digest` has been checked.
  fs::path Blob(std::string_view digest) const {
    const std::string_view hex = digest.substr(7);
    return Blobs() / hex.substr(0, 2) / hex.substr(2);
  }
  fs::path PinFolder(std::string_view digest) const { return Pins() / digest.substr(7); }
  fs::path Folder(std::string_view digest) const { return Folders() / digest.substr(7); }
};

// A holder may contain slashes; a file name may not.
std::string FileNameOf(std::string_view holder) {
  return absl::WebSafeBase64Escape(ToAbsl(holder));
}

absl::Status CheckDigest(std::string_view digest) { return ParseDigest(digest).status(); }

class DirectoryWriter final : public BlobWriter {
 public:
  DirectoryWriter(const Layout& layout, fs::path path, int fd, bool sync)
      : layout_(layout), path_(std::move(path)), fd_(fd), sync_(sync) {}

  ~DirectoryWriter() override {
    if (fd_ >= 0) ::close(fd_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  absl::Status Write(std::string_view bytes) override {
    hash_.Update(bytes);
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::write(fd_, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return WriteError(bytes.size() - done);
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Commit() override {
    const std::string digest = hash_.FinishDigest();
    const fs::path target = layout_.Blob(digest);
    if (::fchmod(fd_, 0444) != 0) return ErrnoError("chmod", path_);
    if (sync_ && ::fsync(fd_) != 0) return WriteError(0);
    if (::close(std::exchange(fd_, -1)) != 0) return WriteError(0);
    std::error_code code;
    fs::create_directory(target.parent_path(), code);
    if (code) {
      errno = code.value();
      return WriteFailed(layout_.root, "make", target.parent_path());
    }
    // Even if another writer made the folder: it may not have come to its own sync yet.
    if (sync_) RETURN_IF_ERROR(SyncFolder(layout_.Blobs()));
    // Replaces an equal blob if there is one: same bytes, and its age starts anew, which keeps the
    // collector away from it.
    if (::rename(path_.c_str(), target.c_str()) != 0)
      return WriteFailed(layout_.root, "rename to", target);
    path_.clear();
    if (sync_) RETURN_IF_ERROR(SyncFolder(target.parent_path()));
    return digest;
  }

 private:
  absl::Status WriteError(size_t needed) const {
    return WriteFailed(layout_.root, "write", path_, static_cast<int64_t>(needed));
  }

  const Layout& layout_;
  fs::path path_;
  int fd_;
  const bool sync_;
  Sha256 hash_;
};

class DirectoryReader final : public BlobReader {
 public:
  DirectoryReader(int fd, int64_t size, std::string digest, bool verify)
      : fd_(fd), size_(size), digest_(std::move(digest)), verify_(verify) {}
  ~DirectoryReader() override { ::close(fd_); }

  absl::StatusOr<std::string> Read(size_t max) override {
    std::string out(max, '\0');
    ssize_t n = 0;
    do {
      n = ::read(fd_, out.data(), max);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return ErrnoError("read", digest_);
    out.resize(static_cast<size_t>(n));
    done_ += n;
    if (verify_ && !checked_) {
      hash_.Update(out);
      if (done_ >= size_ || n == 0) RETURN_IF_ERROR(Check());
    }
    return out;
  }

  int64_t Size() const override { return size_; }

 private:
  absl::Status Check() {
    checked_ = true;
    const std::string actual = hash_.FinishDigest();
    if (actual == digest_) return absl::OkStatus();
    return Error(absl::StatusCode::kDataLoss, "BLOB_CORRUPT",
                 absl::StrCat("blob ", digest_, " is damaged: its bytes have the digest ", actual,
                              "; restore it from a back-up or make it again"));
  }

  const int fd_;
  const int64_t size_;
  const std::string digest_;
  const bool verify_;
  int64_t done_ = 0;
  bool checked_ = false;
  Sha256 hash_;
};

class DirectoryBlobStore final : public BlobStore {
 public:
  DirectoryBlobStore(DirectoryBlobStoreOptions options, Clock& clock)
      : options_(std::move(options)), layout_{options_.root}, clock_(clock) {}

  absl::Status Prepare() {
    for (const fs::path& folder :
         {layout_.Blobs(), layout_.Temporary(), layout_.Pins(), layout_.Folders()}) {
      std::error_code code;
      fs::create_directories(folder, code);
      errno = code.value();
      if (code) return WriteFailed(options_.root, "make", folder);
      if (::access(folder.c_str(), W_OK | X_OK) != 0) return ErrnoError("write to", folder);
    }
    RemoveAbandoned();
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(int64_t expected_size) override {
    if (AvailableBytes(options_.root) - options_.reserve_bytes < expected_size) {
      return DiskFull(options_.root, expected_size + options_.reserve_bytes);
    }
    const fs::path path = NewTemporary();
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return WriteFailed(options_.root, "make", path, expected_size);
    return std::make_unique<DirectoryWriter>(layout_, path, fd, options_.sync);
  }

  absl::StatusOr<std::unique_ptr<BlobReader>> Open(std::string_view digest,
                                                   ReadOptions options) override {
    RETURN_IF_ERROR(CheckDigest(digest));
    const fs::path path = layout_.Blob(digest);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NotThere(digest, path);
    struct stat info{};
    if (::fstat(fd, &info) != 0) {
      const absl::Status status = ErrnoError("stat", path);
      ::close(fd);
      return status;
    }
    return std::make_unique<DirectoryReader>(fd, info.st_size, std::string(digest), options.verify);
  }

  absl::StatusOr<int64_t> SizeOf(std::string_view digest) override {
    RETURN_IF_ERROR(CheckDigest(digest));
    struct stat info{};
    const fs::path path = layout_.Blob(digest);
    if (::stat(path.c_str(), &info) != 0) return NotThere(digest, path);
    return info.st_size;
  }

  absl::StatusOr<bool> Exists(std::string_view digest) override {
    RETURN_IF_ERROR(CheckDigest(digest));
    if (::access(layout_.Blob(digest).c_str(), F_OK) == 0) return true;
    if (errno == ENOENT) return false;
    return ErrnoError("look for", layout_.Blob(digest));
  }

  absl::StatusOr<fs::path> LocalPath(std::string_view digest) override {
    RETURN_IF_ERROR(SizeOf(digest).status());
    return layout_.Blob(digest);
  }

  absl::StatusOr<fs::path> LocalFolder(std::string_view artifact) override {
    ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(artifact));
    for (const ManifestFile& file : manifest.files) RETURN_IF_ERROR(SizeOf(file.sha256).status());
    const fs::path folder = layout_.Folder(artifact);
    std::error_code code;
    if (fs::exists(folder, code)) return folder;
    const fs::path partial = NewTemporary();
    absl::Status status = LinkFiles(manifest, folder, partial);
    if (status.ok() && ::rename(partial.c_str(), folder.c_str()) != 0) {
      const absl::Status failed = ErrnoError("rename to", folder);
      // One that another process has laid out meanwhile holds the same links.
      if (!fs::exists(folder, code)) status = failed;
    }
    fs::remove_all(partial, code);  // there only if it has not become the folder
    RETURN_IF_ERROR(status);
    return folder;
  }

  absl::Status Pin(std::string_view digest, std::string_view holder) override {
    RETURN_IF_ERROR(SizeOf(digest).status());
    const fs::path folder = layout_.PinFolder(digest);
    std::error_code code;
    fs::create_directories(folder, code);
    const fs::path path = folder / FileNameOf(holder);
    int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    // Another process that let its pin go has taken the empty folder away in between.
    for (int again = 0; fd < 0 && errno == ENOENT && again < 10; ++again) {
      fs::create_directories(folder, code);
      fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    }
    if (fd < 0) return WriteFailed(options_.root, "make", path);
    ::close(fd);
    if (options_.sync) {
      RETURN_IF_ERROR(SyncFolder(folder));
      RETURN_IF_ERROR(SyncFolder(layout_.Pins()));
    }
    return absl::OkStatus();
  }

  absl::Status Unpin(std::string_view digest, std::string_view holder) override {
    RETURN_IF_ERROR(CheckDigest(digest));
    const fs::path folder = layout_.PinFolder(digest);
    std::error_code code;
    fs::remove(folder / FileNameOf(holder), code);
    fs::remove(folder, code);  // succeeds only when empty
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> CollectGarbage(const std::vector<std::string>& roots,
                                         absl::Duration min_age) override {
    RemoveAbandoned();
    std::set<std::string> live;
    for (const std::string& root : roots) MarkLive(root, live);
    std::error_code code;
    for (fs::directory_iterator it(layout_.Pins(), code), end; !code && it != end;
         it.increment(code)) {
      if (!fs::is_empty(it->path(), code))
        MarkLive("sha256:" + it->path().filename().string(), live);
    }
    if (code) return absl::UnavailableError(absl::StrCat("cannot list pins: ", code.message()));
    MarkYoungFolders(min_age, live);
    RemoveFolders(live);
    int64_t freed = 0;
    for (fs::recursive_directory_iterator it(layout_.Blobs(), code), end; !code && it != end;
         it.increment(code)) {
      if (!it->is_regular_file()) continue;
      const std::string digest = absl::StrCat(
          "sha256:", it->path().parent_path().filename().string(), it->path().filename().string());
      struct stat info{};
      if (live.contains(digest) || ::stat(it->path().c_str(), &info) != 0) continue;
      if (AgeOf(info) < min_age) continue;
      if (::unlink(it->path().c_str()) == 0) freed += info.st_size;
    }
    if (code) return absl::UnavailableError(absl::StrCat("cannot list blobs: ", code.message()));
    return freed;
  }

 private:
  static absl::Status NotThere(std::string_view digest, const fs::path& path) {
    if (errno != ENOENT) return ErrnoError("open", path);
    return Error(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND",
                 absl::StrCat("no blob ", ToAbsl(digest), " is stored"));
  }

  fs::path NewTemporary() {
    return layout_.Temporary() /
           absl::StrCat(::getpid(), "-", next_++, "-", absl::ToUnixNanos(clock_.Now()));
  }

  // Makes `partial`, which shall become `folder`, with a link to the blob of each file.
  absl::Status LinkFiles(const Manifest& manifest, const fs::path& folder,
                         const fs::path& partial) {
    std::error_code code;
    const auto failed = [&](const fs::path& path) {
      errno = code.value();
      return WriteFailed(options_.root, "make", path);
    };
    if (fs::create_directory(partial, code); code) return failed(partial);
    for (const ManifestFile& file : manifest.files) {
      const fs::path link = partial / file.path;
      if (fs::create_directories(link.parent_path(), code); code) return failed(link);
      const fs::path place = (folder / file.path).parent_path();
      fs::create_symlink(layout_.Blob(file.sha256).lexically_relative(place), link, code);
      if (code) return failed(link);
    }
    return options_.sync ? SyncFolder(partial) : absl::OkStatus();
  }

  absl::Duration AgeOf(const struct stat& info) {
    return clock_.Now() - absl::TimeFromTimespec(info.st_ctim);
  }

  // Somebody has just laid them out, and may not have pinned their artifacts yet: blobs that were
  // there long before are needed too.
  void MarkYoungFolders(absl::Duration min_age, std::set<std::string>& live) {
    std::error_code code;
    for (fs::directory_iterator it(layout_.Folders(), code), end; !code && it != end;
         it.increment(code)) {
      struct stat info{};
      if (::stat(it->path().c_str(), &info) != 0 || AgeOf(info) >= min_age) continue;
      MarkLive("sha256:" + it->path().filename().string(), live);
    }
  }

  void RemoveFolders(const std::set<std::string>& live) {
    std::error_code code;
    for (fs::directory_iterator it(layout_.Folders(), code), end; !code && it != end;
         it.increment(code)) {
      std::error_code ignored;  // it is looked at again next time
      if (!live.contains("sha256:" + it->path().filename().string()))
        fs::remove_all(it->path(), ignored);
    }
  }

  // `digest` and, if it is a manifest, the blobs it lists.
  void MarkLive(const std::string& digest, std::set<std::string>& live) {
    if (!live.insert(digest).second) return;
    const auto size = SizeOf(digest);
    if (!size.ok() || *size > (64 << 20)) return;
    const auto reader = Open(digest, {});
    if (!reader.ok()) return;
    const auto head = (*reader)->Read(1);
    if (!head.ok() || *head != "{") return;  // most blobs are no JSON: don't read them whole
    const auto manifest = ReadManifest(digest);
    if (!manifest.ok()) return;
    for (const ManifestFile& file : manifest->files) live.insert(file.sha256);
  }

  void RemoveAbandoned() {
    std::error_code code;
    for (fs::directory_iterator it(layout_.Temporary(), code), end; !code && it != end;
         it.increment(code)) {
      struct stat info{};
      if (::stat(it->path().c_str(), &info) != 0) continue;
      std::error_code ignored;
      if (clock_.Now() - absl::TimeFromTimespec(info.st_mtim) > kAbandoned)
        fs::remove_all(it->path(), ignored);
    }
  }

  const DirectoryBlobStoreOptions options_;
  const Layout layout_;
  Clock& clock_;
  std::atomic<int64_t> next_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> NewDirectoryBlobStore(DirectoryBlobStoreOptions options,
                                                                 Clock& clock) {
  auto store = std::make_unique<DirectoryBlobStore>(std::move(options), clock);
  RETURN_IF_ERROR(store->Prepare());
  return store;
}

}  // namespace crossover
