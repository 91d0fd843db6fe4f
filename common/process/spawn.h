// Starting other programs.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is the program's path, not searched for
  std::optional<std::map<std::string, std::string>> environment;  // nullopt = ours
  std::string user;  // runs as this user; needs root, ignored if empty
  int nice = 0;      // added to our own
  int parent_death_signal =
      0;  // sent by the kernel when the *thread* that called Spawn ends; 0 = none
  std::filesystem::path output;  // stdout and stderr are appended to this file; empty = ours
  std::filesystem::path directory;
};

// Starts the program in a process group of its own, with no signal blocked and no descriptor of
// ours but 0–2 (those that are close-on-exec, that is). NOT_FOUND if there is no such program, else
// the errno's status. The caller reaps the child. Thread-safe.
absl::StatusOr<pid_t> Spawn(const SpawnOptions& options);

// Spawn and wait. Returns the wait status (0 = success).
absl::StatusOr<int> RunToEnd(const SpawnOptions& options);

// "exited with code 3", "killed by signal 9 (Killed)".
std::string DescribeExit(int wait_status);

// uid and gid of a user. NOT_FOUND.
struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
};
absl::StatusOr<UserIds> FindUser(const std::string& name);

}  // namespace crossover
