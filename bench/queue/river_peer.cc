#include "bench/queue/river_peer.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/process/spawn.h"
#include "common/status/status_macros.h"

namespace crossover::bench {
namespace {

std::string FindGo() {
  if (const char* go = std::getenv("CROSSOVER_GO")) return go;
  const char* path = std::getenv("PATH");
  for (const auto& folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    const std::string go = absl::StrCat(folder, "/go");
    if (::access(go.c_str(), X_OK) == 0) return go;
  }
  return "";
}

std::map<std::string, std::string> GoEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> variable =
        absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    variables.insert(variable);
  }
  variables["GOFLAGS"] = "-mod=readonly -buildvcs=false";
  variables["GOTOOLCHAIN"] = "local";
  return variables;
}

}  // namespace

absl::StatusOr<RiverPeer> RiverPeer::Build(const testing::TempDir& folder) {
  const std::string go = FindGo();
  if (go.empty()) {
    return absl::NotFoundError(
        "River needs Go 1.26 or later: put it into PATH, or its program into CROSSOVER_GO");
  }
  // The build changes into the folder of its sources; the benchmark is started in the project's.
  const std::string program = (folder / "river_bench").string();
  const std::string output = (folder / "river.log").string();
  SpawnOptions options;
  options.argv = {go, "build", "-o", program, "."};
  options.environment = GoEnvironment();
  options.directory = std::filesystem::current_path() / "bench/queue/river";
  options.output = output;
  ASSIGN_OR_RETURN(int exit, RunToEnd(options));
  if (exit != 0) {
    return absl::InternalError(
        absl::StrCat("go build ", DescribeExit(exit), ": ", testing::ReadFile(output)));
  }
  return RiverPeer(program, output);
}

absl::StatusOr<double> RiverPeer::Work(const std::string& dsn, int64_t jobs) const {
  std::filesystem::remove(output_);
  SpawnOptions options;
  options.argv = {program_, absl::StrCat(dsn, " sslmode=disable"), absl::StrCat(jobs)};
  options.output = output_;
  ASSIGN_OR_RETURN(int exit, RunToEnd(options));
  const std::string said = testing::ReadFile(output_);
  for (const auto& line : absl::StrSplit(said, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    double value = 0;
    if (words[0] == "river.worked_per_second" && absl::SimpleAtod(words[1], &value)) return value;
  }
  return absl::InternalError(absl::StrCat("River ", DescribeExit(exit), ": ", said));
}

}  // namespace crossover::bench
