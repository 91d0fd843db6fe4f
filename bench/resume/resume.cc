// ./dev bench resume: kills a training with SIGKILL at random points, damages some of its
// checkpoints, lets it go on in another process, and compares what comes out byte by byte with a
// training that was left alone.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench/resume/settings.h"
#include "common/status/status_macros.h"
#include "llm/train/checkpoint_folder.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr char kAdapterFolder[] = "adapter";

struct Arguments {
  int64_t kills = 40;
  int64_t damages = 4;  // One in so many kills damages the newest checkpoint, too.
  uint64_t seed = 1;
  int threads = 1;
  std::string child;  // Setting; set: this process trains.
  std::string folder;
};

// One process of a training: goes on from the newest sound checkpoint, writes one at every step.
absl::Status Train(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto trainer,
                   MakeTrainer(arguments.child, arguments.threads, arguments.folder));
  const fs::path folder = arguments.folder;
  RETURN_IF_ERROR(
      ResumeFromNewest(
          folder, [&](const fs::path& path) { return trainer->Resume(path.string()); },
          [](const absl::Status& status) { std::cerr << "# " << status.message() << "\n"; })
          .status());
  absl::Status failed;
  RETURN_IF_ERROR(trainer
                      ->Run([&](const StepReport& report) {
                        const fs::path checkpoint = CheckpointPath(folder, report.step);
                        // A damaged one of that step was passed over.
                        std::error_code ignored;
                        fs::remove_all(checkpoint, ignored);
                        failed = trainer->SaveCheckpoint(checkpoint.string());
                        if (failed.ok()) failed = KeepNewest(folder, 3);
                        return failed.ok() ? StepDecision::kContinue : StepDecision::kStop;
                      })
                      .status());
  RETURN_IF_ERROR(failed);
  // The process before may have been killed between its last word and its end.
  std::error_code ignored;
  fs::remove_all(folder / kAdapterFolder, ignored);
  return trainer->ExportAdapter((folder / kAdapterFolder).string(), "random");
}

pid_t Start(const Arguments& arguments, const std::string& setting, const fs::path& folder) {
  const std::string threads = std::to_string(arguments.threads);
  const pid_t child = fork();
  if (child != 0) return child;
  execl("/proc/self/exe", "resume", "--child", setting.c_str(), "--folder", folder.c_str(),
        "--threads", threads.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

enum class End { kFinished, kKilled, kFailed };

// Lets `child` run for `lifetime`, then kills it.
End Outlive(pid_t child, std::chrono::duration<double> lifetime) {
  const auto deadline = SteadyClock::now() + lifetime;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (SteadyClock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    break;
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return End::kKilled;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? End::kFinished : End::kFailed;
}

// Cuts the newest checkpoint short or changes a bit of it. Never the only one: from none the
// training would just start anew.
bool Damage(const fs::path& folder, std::mt19937_64& random) {
  const auto checkpoints = CheckpointsIn(folder);
  if (!checkpoints.ok() || checkpoints->size() < 2) return false;
  const fs::path file = checkpoints->front() / "state.safetensors";
  const auto size = static_cast<int64_t>(fs::file_size(file));
  const auto place = static_cast<int64_t>(random() % static_cast<uint64_t>(size));
  if (random() % 2 == 0) {
    fs::resize_file(file, static_cast<uintmax_t>(place));
    return true;
  }
  // Beyond the header, every bit counts.
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const int64_t at = std::max(place, size / 2);
  stream.seekg(at);
  const int byte = stream.get();
  stream.seekp(at);
  stream.put(static_cast<char>(byte ^ 1));
  return stream.good();
}

std::string BytesOf(const fs::path& folder) {
  std::ostringstream out;
  for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
    out << std::ifstream(folder / kAdapterFolder / file, std::ios::binary).rdbuf();
  return out.str();
}

int64_t Differences(const std::string& a, const std::string& b) {
  int64_t count = static_cast<int64_t>(std::max(a.size(), b.size()) - std::min(a.size(), b.size()));
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

struct Totals {
  int64_t kills = 0, damaged = 0, trainings = 0, differences = 0;
};

absl::Status Interrupt(const Arguments& arguments, const std::string& setting, int64_t kills,
                       const fs::path& folder, std::mt19937_64& random, Totals& totals) {
  const fs::path whole = folder / (setting + "-whole"), parts = folder / (setting + "-parts");
  fs::create_directories(whole);
  fs::create_directories(parts);
  const auto start = SteadyClock::now();
  if (Outlive(Start(arguments, setting, whole), std::chrono::hours(1)) != End::kFinished)
    return absl::InternalError(absl::StrCat(setting, ": a training left alone failed"));
  const std::chrono::duration<double> alone = SteadyClock::now() - start;
  const std::string wanted = BytesOf(whole);
  // A short life may end before the first step, and a long one before nothing at all; so that the
  // kills suffice, what comes out is compared and thrown away, and the training starts anew.
  for (int64_t killed = 0; killed < kills;) {
    const double share = std::uniform_real_distribution<double>(0, 1)(random);
    const End end = Outlive(Start(arguments, setting, parts), alone * share);
    if (end == End::kFailed)
      return absl::InternalError(absl::StrCat(setting, ": a training that went on failed"));
    if (end == End::kKilled) {
      ++killed;
      ++totals.kills;
      if (random() % static_cast<uint64_t>(arguments.damages) == 0)
        totals.damaged += Damage(parts, random) ? 1 : 0;
      continue;
    }
    totals.differences += Differences(BytesOf(parts), wanted);
    ++totals.trainings;
    fs::remove_all(parts);
    fs::create_directories(parts);
  }
  if (Outlive(Start(arguments, setting, parts), std::chrono::hours(1)) != End::kFinished)
    return absl::InternalError(absl::StrCat(setting, ": the last process of a training failed"));
  totals.differences += Differences(BytesOf(parts), wanted);
  ++totals.trainings;
  std::printf("# %s: %ld kills, %zu bytes, %.1f s alone\n", setting.c_str(),
              static_cast<long>(kills), wanted.size(), alone.count());
  std::fflush(stdout);
  fs::remove_all(whole);
  fs::remove_all(parts);
  return absl::OkStatus();
}

absl::Status Bench(const Arguments& arguments) {
  std::string name = (fs::temp_directory_path() / "crossover-bench-resume-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    return absl::FailedPreconditionError(absl::StrCat(name, " cannot be made"));
  std::mt19937_64 random(arguments.seed);
  const std::vector<std::string> settings = SettingNames();
  const int64_t count = static_cast<int64_t>(settings.size());
  Totals totals;
  absl::Status status;
  for (int64_t i = 0; i < count && status.ok(); ++i) {
    // The kills are shared out evenly.
    const int64_t kills = arguments.kills * (i + 1) / count - arguments.kills * i / count;
    status = Interrupt(arguments, settings[i], kills, name, random, totals);
  }
  std::error_code ignored;
  fs::remove_all(name, ignored);
  RETURN_IF_ERROR(status);
  std::printf("resume.trainings %ld count\n", static_cast<long>(totals.trainings));
  std::printf("resume.damaged_checkpoints %ld count\n", static_cast<long>(totals.damaged));
  std::printf("resume.kills %ld count\n", static_cast<long>(totals.kills));
  std::printf("resume.byte_differences %ld bytes\n", static_cast<long>(totals.differences));
  return totals.differences == 0
             ? absl::OkStatus()
             : absl::InternalError("what was interrupted differs from what was left alone");
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::Arguments arguments;
  CLI::App app("Kills trainings at random points and compares what comes out");
  app.add_option("--kills", arguments.kills, "in all, over all settings")
      ->check(CLI::PositiveNumber);
  app.add_option("--damages", arguments.damages,
                 "after one in so many kills the newest checkpoint is damaged")
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", arguments.seed, "of the points in time");
  app.add_option("--threads", arguments.threads, "of each training");
  app.add_option("--child", arguments.child, "train this setting (used by the program itself)");
  app.add_option("--folder", arguments.folder, "of the checkpoints of --child");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status =
      arguments.child.empty() ? crossover::llm::Bench(arguments) : crossover::llm::Train(arguments);
  if (!status.ok()) std::cerr << "bench resume: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
