// The command-line client.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"
#include "common/status/error.h"

extern char** environ;

namespace {

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return variables;
}

// Becomes the program that stands beside this one.
absl::Status Exec(const std::string& name, const std::vector<std::string>& arguments) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = (self.parent_path() / name).string();
  std::vector<std::string> all = {program};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  // The platform refuses CROSSOVER_ variables that it does not know; these are the client's.
  for (const char* variable :
       {"CROSSOVER_SERVER", "CROSSOVER_PROJECT", "CROSSOVER_API_KEY", "CROSSOVER_API_KEY_FILE"}) {
    unsetenv(variable);
  }
  crossover::cli::SignalInterrupts::Unblock();
  execv(program.c_str(), argv.data());
  return crossover::Error(absl::StatusCode::kNotFound, "DEPENDENCY_MISSING",
                          "cannot start " + program + ": " + std::strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  crossover::cli::SignalInterrupts interrupts;
  crossover::cli::Terminal terminal = crossover::cli::SystemTerminal();
  crossover::cli::World world{.terminal = terminal,
                              .clock = crossover::SystemClock(),
                              .interrupts = interrupts,
                              .environment = Environment(),
                              .exec = Exec};
  return crossover::cli::Run(world, std::vector<std::string>(argv + 1, argv + argc));
}
