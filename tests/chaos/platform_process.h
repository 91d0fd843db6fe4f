// crossover-platform as its user runs it, a process of its own with children, for tests that kill
// them.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/client.h"
#include "common/testing/temp_dir.h"

namespace crossover::chaos {

class PlatformProcess : public ::testing::Test {
 protected:
  static constexpr char kPostgres[] = "postgres";
  static constexpr char kModelServer[] = "crossover-model-server";
  static constexpr char kTrainerWorker[] = "crossover-trainer-worker";

  void SetUp() override { Launch(); }
  void TearDown() override;  // SIGTERM; after a failure with the platform's log

  // Starts it and waits until it is ready; a fatal failure if it is not.
  void Launch();
  // SIGKILL, and reaped. The kernel kills the children (death signal).
  void KillPlatform();

  // The state file of the platform that runs now.
  std::optional<nlohmann::json> State();
  bool WaitUntilReady();

  std::vector<pid_t> Children();
  // The platform's own child of this program, or 0.
  pid_t ChildPid(std::string_view program);
  // The child of this program that is there now or comes within a minute, but not `old`; 0 if none
  // does.
  pid_t WaitForChild(std::string_view program, pid_t old = 0);

  // Runs the command line against the platform; its standard output.
  std::string Crossover(std::vector<std::string> args);

  testing::TempDir dir_;
  http::Client client_;
  pid_t pid_ = 0;
};

// True while the process is there and no zombie.
bool IsAlive(pid_t pid);

}  // namespace crossover::chaos
