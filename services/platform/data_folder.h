// The data folder of one platform: who owns it, what lies where.
//
//   platform.lock   held while a platform runs          platform.json  where it listens (for the
//   CLI) blobs/          the blob store                       postgres/      the private server (or
//   a link to it) run/            Unix sockets                         log/           output of
//   Postgres and of the children
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::platform {

// Where a running platform listens. Written for `crossover` to find it.
struct StateFile {
  int64_t pid = 0;
  std::string grpc;          // "127.0.0.1:7070"
  std::string socket;        // "unix:/…/grpc.sock"
  std::string http;          // "http://127.0.0.1:8080"
  std::string admin;         // "http://127.0.0.1:8081"
  std::string metrics;       // "http://127.0.0.1:9464"
  std::string model_server;  // "http://127.0.0.1:…"
};

// For people, with what they should know; programs read the log or <data>/platform.json.
std::string Greeting(const StateFile& state, const std::vector<std::string>& notes);

class DataFolder {
 public:
  // Makes the folders and takes the lock. FAILED_PRECONDITION `DATA_FOLDER_IN_USE` names the other
  // platform's process; PERMISSION_DENIED if the folder can't be made.
  static absl::StatusOr<std::unique_ptr<DataFolder>> Open(const std::filesystem::path& root);
  ~DataFolder();  // gives the lock back and removes the state file
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path blobs() const { return root_ / "blobs"; }
  std::filesystem::path log(const std::string& name) const {
    return root_ / "log" / (name + ".log");
  }
  // Path of a Unix socket; in /tmp when the data folder's own path is too long for one.
  std::filesystem::path socket(const std::string& name) const { return run_ / (name + ".sock"); }

  absl::Status WriteState(const StateFile& state);

 private:
  DataFolder(std::filesystem::path root, std::filesystem::path run, int lock_fd)
      : root_(std::move(root)), run_(std::move(run)), lock_fd_(lock_fd) {}

  std::filesystem::path root_;
  std::filesystem::path run_;
  int lock_fd_;
};

}  // namespace crossover::platform
