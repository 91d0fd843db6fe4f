#include "cli/client/incoming_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/absl_view.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"

namespace crossover::cli {

namespace fs = std::filesystem;

// Running SHA-256.
class IncomingFile::Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string Hex() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes, &size);
    std::string out;
    for (unsigned int i = 0; i < size; ++i) out += absl::StrFormat("%02x", bytes[i]);
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

absl::StatusOr<std::unique_ptr<IncomingFile>> IncomingFile::Open(const fs::path& folder,
                                                                 const std::string& path,
                                                                 const std::string& sha256) {
  const fs::path relative = fs::path(path).lexically_normal();
  if (relative.is_absolute() || (!relative.empty() && *relative.begin() == "..")) {
    return Error(absl::StatusCode::kDataLoss, "FORMAT_INVALID",
                 absl::StrCat("the artifact names a path outside itself: ", path));
  }
  std::unique_ptr<IncomingFile> file(new IncomingFile(folder, folder / relative, sha256));
  const fs::path parent = file->target_.parent_path();
  std::error_code error;
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) return file->Failure("make", parent, error.value());
  file->fd_ = ::open(file->temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file->fd_ < 0) return file->Failure("write", file->temporary_, errno);
  file->is_partial_ = true;
  return file;
}

IncomingFile::IncomingFile(fs::path folder, fs::path target, std::string expected)
    : folder_(std::move(folder)),
      target_(std::move(target)),
      temporary_(target_.string() + ".part"),
      expected_(std::move(expected)),
      digest_(std::make_unique<Digest>()) {}

IncomingFile::~IncomingFile() {
  if (fd_ >= 0) ::close(fd_);
  if (is_partial_) ::unlink(temporary_.c_str());
}

absl::Status IncomingFile::Failure(std::string_view what, const fs::path& path, int error) const {
  const std::string message = absl::StrCat("cannot ", ToAbsl(what), " ", path.string(), ": ",
                                           std::generic_category().message(error));
  if (!IsDiskFull(error)) {
    return Error(absl::StatusCode::kFailedPrecondition, message,
                 {.reason = "FILE_WRITE_FAILED",
                  .metadata = {{"try", "name a folder that can be written with --out"}}});
  }
  return Error(absl::StatusCode::kResourceExhausted, message,
               {.reason = "DISK_FULL",
                .metadata = {{"try", absl::StrCat("make room on the disk of ", folder_.string(),
                                                  ", or name a folder on another with --out")}}});
}

absl::Status IncomingFile::Add(std::string_view bytes) {
  digest_->Add(bytes);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure("write", temporary_, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status IncomingFile::Finish() {
  // Some file systems tell only here that they had no room for the bytes.
  if (::close(std::exchange(fd_, -1)) != 0) return Failure("write", temporary_, errno);
  const std::string actual = digest_->Hex();
  if (!expected_.empty() && expected_ != actual && expected_ != "sha256:" + actual) {
    return Error(
        absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
        absl::StrCat(target_.string(), " arrived as sha256:", actual, " instead of ", expected_));
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return Failure("write", target_, errno);
  is_partial_ = false;
  return absl::OkStatus();
}

}  // namespace crossover::cli
