// A local file that holds flushes while the database is away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

// One JSON record per line, each with a checksum, written with one write and fsync. Thread-safe;
// one process per file (flock).
class Journal {
 public:
  // Opens or makes the file. UNAVAILABLE if that fails; FAILED_PRECONDITION if another process
  // holds it. A torn last record (the process died in the middle of Append, so nobody was told that
  // it was durable) is cut off.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& path, int64_t max_bytes);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Durable when it returns OK. RESOURCE_EXHAUSTED beyond max_bytes or with a full disk: nothing
  // was written.
  absl::Status Append(const Batch& batch);
  absl::Status Append(const Feedback& feedback);

  bool empty() const;
  int64_t bytes() const;

  struct Sink {
    std::function<absl::Status(Batch)> on_batch;
    std::function<absl::Status(const Feedback&)> on_feedback;
    std::function<void(const absl::Status& why)> on_rejected;
  };
  // Hands out the records in order and empties the file when all are taken. Stops at the first
  // passing error (IsPassing); records before it are not handed out again unless the process dies
  // first, which does no harm: they are idempotent. A record that is damaged or refused for good
  // goes to rejects_path() instead, and the next one follows.
  absl::Status Replay(const Sink& sink);

  // Where a person finds what could not be handed out: the lines as they were.
  std::string rejects_path() const { return path_ + ".rejected"; }

 private:
  Journal(int fd, std::string path, int64_t max_bytes)
      : fd_(fd), path_(std::move(path)), max_bytes_(max_bytes) {}
  absl::Status AppendLine(const std::string& json);
  absl::Status CutTornTail() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetAside(std::string_view line) const;

  const int fd_;
  const std::string path_;
  const int64_t max_bytes_;
  mutable absl::Mutex mutex_;
  int64_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t replayed_ ABSL_GUARDED_BY(mutex_) =
      0;  // Offset of the first record that was not taken yet.
};

}  // namespace crossover::router
