#include "services/shadow_router/domain/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/domain/hash.h"
#include "services/shadow_router/domain/record_json.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
constexpr size_t kChecksumDigits = 16;

absl::Status IoError(const std::string& what, const std::string& path) {
  const int error = errno;
  const bool full = IsDiskFull(error);
  return Error(
      full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
      full ? "DISK_FULL" : "FILE_WRITE_FAILED",
      absl::StrCat("journal ", path, ": ", what, ": ", std::strerror(error),
                   full ? "; free some space there, or give the router another --journal" : ""));
}

// The record of a line `<checksum> <json>`, or nullopt if it is damaged.
std::optional<Json> ReadRecord(std::string_view line) {
  if (line.size() <= kChecksumDigits + 1 || line[kChecksumDigits] != ' ') return std::nullopt;
  const std::string_view text = line.substr(kChecksumDigits + 1);
  if (ShortHash(text) != line.substr(0, kChecksumDigits)) return std::nullopt;
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

absl::Status HandOut(std::string_view line, const Journal::Sink& sink) {
  const std::optional<Json> record = ReadRecord(line);
  if (!record) {
    return Error(absl::StatusCode::kDataLoss, "FORMAT_INVALID",
                 "a record of the journal is damaged: its checksum does not fit");
  }
  if (record->contains("batch")) {
    ASSIGN_OR_RETURN(Batch batch, BatchFromJson(record->at("batch")));
    return sink.on_batch(std::move(batch));
  }
  ASSIGN_OR_RETURN(const Feedback feedback, FeedbackFromJson(record->value("feedback", Json())));
  return sink.on_feedback(feedback);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& path, int64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return IoError("cannot be opened", path);
  std::unique_ptr<Journal> journal(new Journal(fd, path, max_bytes));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "JOURNAL_IN_USE",
        absl::StrCat("journal ", path, " is held by another router; give each its own --journal"));
  }
  struct stat info{};
  if (fstat(fd, &info) != 0) return IoError("cannot be read", path);
  absl::MutexLock lock(&journal->mutex_);
  journal->size_ = info.st_size;
  RETURN_IF_ERROR(journal->CutTornTail());
  return journal;
}

absl::Status Journal::CutTornTail() {
  constexpr int64_t kBlock = 64 << 10;
  int64_t end = size_;
  std::string block;
  while (end > 0) {
    const int64_t begin = std::max<int64_t>(0, end - kBlock);
    block.resize(static_cast<size_t>(end - begin));
    if (pread(fd_, block.data(), block.size(), begin) != static_cast<ssize_t>(block.size()))
      return IoError("cannot be read", path_);
    if (const size_t newline = block.rfind('\n'); newline != std::string::npos) {
      end = begin + static_cast<int64_t>(newline) + 1;
      break;
    }
    end = begin;
  }
  if (end == size_) return absl::OkStatus();
  if (ftruncate(fd_, end) != 0) return IoError("cannot be repaired", path_);
  size_ = end;
  return absl::OkStatus();
}

Journal::~Journal() { close(fd_); }

absl::Status Journal::AppendLine(const std::string& json) {
  const std::string line = absl::StrCat(ShortHash(json), " ", json, "\n");
  absl::MutexLock lock(&mutex_);
  if (size_ + static_cast<int64_t>(line.size()) > max_bytes_) {
    return Error(absl::StatusCode::kResourceExhausted, "JOURNAL_FULL",
                 absl::StrCat("journal ", path_, " has reached its ", max_bytes_,
                              " bytes while the database is away"));
  }
  const ssize_t written = write(fd_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size()) || fdatasync(fd_) != 0) {
    absl::Status status = IoError("cannot be written", path_);
    // What was half written must not be taken for a record, nor swallow the next one.
    if (ftruncate(fd_, size_) != 0) status = IoError("cannot be repaired", path_);
    return status;
  }
  size_ += written;
  return absl::OkStatus();
}

absl::Status Journal::Append(const Batch& batch) {
  return AppendLine(
      Json{{"batch", ToJson(batch)}}.dump(-1, ' ', false, Json::error_handler_t::replace));
}

absl::Status Journal::Append(const Feedback& feedback) {
  return AppendLine(
      Json{{"feedback", ToJson(feedback)}}.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool Journal::empty() const { return bytes() == 0; }

int64_t Journal::bytes() const {
  absl::MutexLock lock(&mutex_);
  return size_;
}

absl::Status Journal::SetAside(std::string_view line) const {
  const std::string path = rejects_path();
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return IoError("cannot be opened", path);
  const std::string text = absl::StrCat(std::string(line), "\n");
  const bool kept = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                    fdatasync(fd) == 0;
  const absl::Status status = kept ? absl::OkStatus() : IoError("cannot be written", path);
  close(fd);
  return status;
}

absl::Status Journal::Replay(const Sink& sink) {
  absl::MutexLock lock(&mutex_);
  std::string text(static_cast<size_t>(size_ - replayed_), '\0');
  if (pread(fd_, text.data(), text.size(), replayed_) != static_cast<ssize_t>(text.size())) {
    return IoError("cannot be read", path_);
  }
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;  // Not ours: whole lines are appended.
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (const absl::Status status = HandOut(line, sink); !status.ok()) {
      if (IsPassing(status)) return status;
      RETURN_IF_ERROR(SetAside(line));
      sink.on_rejected(status);
    }
    replayed_ += static_cast<int64_t>(end + 1 - at);
    at = end + 1;
  }
  if (ftruncate(fd_, 0) != 0 || fdatasync(fd_) != 0) return IoError("cannot be emptied", path_);
  size_ = 0;
  replayed_ = 0;
  return absl::OkStatus();
}

}  // namespace crossover::router
