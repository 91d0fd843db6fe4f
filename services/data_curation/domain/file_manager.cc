#include "services/data_curation/domain/file_manager.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/stdio_file.h"

namespace crossover::curation {
namespace {

constexpr std::string_view kThenUpload = "go on with the upload";

namespace fs = std::filesystem;

absl::Status UploadOver(const FileRecord& file) {
  return Error(
      absl::StatusCode::kFailedPrecondition,
      absl::StrCat("file ", file.id, " is ", std::string(Name(file.state)), ": its upload is over"),
      {.reason = "STATE_INVALID", .metadata = {{"state", std::string(Name(file.state))}}});
}

bool HoldsRows(const std::string& purpose) { return purpose.empty() || purpose == "fine-tune"; }

std::string PinOf(const FileRecord& file) {
  return "curation/files/" + file.project + "/" + file.id;
}

}  // namespace

FileManager::FileManager(FileManagerOptions options, CurationStore& store, BlobStore& blobs,
                         UuidGenerator& ids)
    : options_(std::move(options)), store_(store), blobs_(blobs), ids_(ids) {}

absl::StatusOr<FileRecord> FileManager::Create(FileRecord file, const RequestKey& key) {
  if (file.filename.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "file.filename is missing",
                 {.reason = "FIELD_REQUIRED", .violations = {{"file.filename", "is missing"}}});
  }
  if (file.purpose.empty()) file.purpose = "fine-tune";
  file.id = ids_.NextId();
  file.state = FileState::kUploading;
  return store_.CreateFile(file, key);
}

absl::StatusOr<FileRecord> FileManager::Get(const std::string& project, const std::string& id) {
  ASSIGN_OR_RETURN(FileRecord file, store_.GetFile(project, id));
  if (file.state == FileState::kUploading) {
    std::error_code error;
    const uintmax_t size = fs::file_size(PartOf(id), error);
    file.size_bytes = error ? 0 : static_cast<int64_t>(size);
  }
  return file;
}

FileManager::Upload::~Upload() { close(fd_); }

absl::Status FileManager::Upload::Append(std::string_view bytes) {
  size_ += static_cast<int64_t>(bytes.size());
  if (size_ > max_bytes_) {
    return Error(absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
                 absl::StrCat("the file is larger than ", max_bytes_,
                              " bytes: split it, or import it in parts"));
  }
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return WriteError(path_, errno, kThenUpload);
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileManager::Upload>> FileManager::OpenUpload(const FileRecord& file,
                                                                             int64_t offset) {
  if (file.state != FileState::kUploading) return UploadOver(file);
  std::error_code error;
  fs::create_directories(options_.upload_folder, error);
  if (error) return WriteError(options_.upload_folder, error.value(), kThenUpload);
  const fs::path path = PartOf(file.id);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return WriteError(path, errno, kThenUpload);
  auto upload = std::unique_ptr<Upload>(new Upload(fd, path, 0, options_.max_bytes));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Error(
        absl::StatusCode::kAborted, "UPLOAD_BUSY",
        absl::StrCat("another call is uploading file ", file.id, ": wait until it has ended"));
  }
  upload->size_ = lseek(fd, 0, SEEK_END);
  if (upload->size_ == offset) return upload;
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("offset is ", offset, ", but ", upload->size_,
                            " bytes have arrived: go on there"),
               {.reason = "UPLOAD_OFFSET_INVALID",
                .metadata = {{"expected_offset", absl::StrCat(upload->size_)}}});
}

absl::StatusOr<FileRecord> FileManager::Finish(const std::string& project, const std::string& id,
                                               const std::string& sha256) {
  ASSIGN_OR_RETURN(FileRecord file, store_.GetFile(project, id));
  if (file.state == FileState::kUploading) {
    ASSIGN_OR_RETURN(file, StoreBytes(std::move(file), sha256));
  }
  if (file.state == FileState::kValidating) return Validate(std::move(file));
  return file;
}

absl::StatusOr<FileRecord> FileManager::StoreBytes(FileRecord file, const std::string& sha256) {
  const fs::path part = PartOf(file.id);
  std::error_code error;
  const uintmax_t size = fs::file_size(part, error);
  if (error || size == 0) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FILE_EMPTY",
        absl::StrCat("file ", file.id, " (", file.filename, ") is empty: upload its bytes first"));
  }
  ASSIGN_OR_RETURN(const std::string digest, blobs_.PutFile(part));
  if (!sha256.empty() && sha256 != digest) {
    fs::remove(part, error);  // so that the upload may begin anew
    return Error(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH",
                 absl::StrCat("the bytes that arrived are ", digest, ", not ", sha256,
                              ": they were thrown away; upload the file anew from offset 0"));
  }
  RETURN_IF_ERROR(blobs_.Pin(digest, PinOf(file)));
  file.sha256 = digest;
  file.size_bytes = static_cast<int64_t>(size);
  file.state = FileState::kValidating;
  absl::StatusOr<FileRecord> stored = store_.UpdateFile(file);
  if (stored.ok()) fs::remove(part, error);  // a left-over part costs space only
  return stored;
}

absl::StatusOr<FileRecord> FileManager::Validate(FileRecord file) {
  if (!HoldsRows(file.purpose)) {
    file.format = FileFormat::kOpaque;
    file.state = FileState::kReady;
    return store_.UpdateFile(file);
  }
  ASSIGN_OR_RETURN(const fs::path path, blobs_.LocalPath(file.sha256));
  std::vector<Problem> problems;
  const auto keep = [&](const Problem& problem) {
    ++file.problem_count;
    if (static_cast<int64_t>(problems.size()) < options_.max_problems) problems.push_back(problem);
    return absl::OkStatus();
  };
  file.problem_count = 0;
  ASSIGN_OR_RETURN(
      const ImportSummary summary,
      ImportJsonl(path, {}, [](const dataset::Row&) { return absl::OkStatus(); }, keep));
  RETURN_IF_ERROR(store_.PutProblems(file.project, file.id, problems));
  file.row_count = summary.rows;
  file.format = summary.format;
  file.state = summary.rows > 0 ? FileState::kReady : FileState::kRejected;
  file.state_reason.clear();
  if (summary.rows == 0) {
    file.state_reason =
        problems.empty() ? "the file holds no rows"
                         : absl::StrCat("no line could be read; the first: ", problems[0].message,
                                        ". Correct the file and upload it anew");
  } else if (summary.bad_lines > 0) {
    file.state_reason =
        absl::StrCat(summary.bad_lines, " of ", summary.rows + summary.bad_lines,
                     " lines are wrong and left out; the file's problems name them: "
                     "correct those and upload the file anew, or go on without");
  }
  return store_.UpdateFile(file);
}

absl::Status FileManager::Delete(const std::string& project, const std::string& id) {
  ASSIGN_OR_RETURN(const FileRecord file, store_.GetFile(project, id));
  RETURN_IF_ERROR(store_.DeleteFile(project, id));
  std::error_code ignored;  // there is a part only while bytes arrive
  fs::remove(PartOf(id), ignored);
  return file.sha256.empty() ? absl::OkStatus() : blobs_.Unpin(file.sha256, PinOf(file));
}

}  // namespace crossover::curation
