// River (Go, Postgres) doing no-op jobs, for comparison.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/testing/temp_dir.h"

namespace crossover::bench {

class RiverPeer {
 public:
  // Builds bench/queue/river with `go` (CROSSOVER_GO, or the one in PATH). NOT_FOUND without one.
  static absl::StatusOr<RiverPeer> Build(const testing::TempDir& folder);

  // Jobs a second that it works of `jobs`, in the database of `dsn`.
  absl::StatusOr<double> Work(const std::string& dsn, int64_t jobs) const;

 private:
  RiverPeer(std::string program, std::string output)
      : program_(std::move(program)), output_(std::move(output)) {}

  std::string program_;
  std::string output_;
};

}  // namespace crossover::bench
