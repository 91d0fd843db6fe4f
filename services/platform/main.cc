// crossover-platform: everything on one machine. `migrate` only brings a database up to date.
#include <cstdio>
#include <string>

#include "common/config/config.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/rpc/server.h"
#include "common/service/service_main.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "services/platform/flags.h"
#include "services/platform/platform.h"

namespace crossover::platform {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "crossover-platform: %s\n", std::string(ToStd(status.message())).c_str());
  return HasReason(status, "CONFIG_INVALID") ? 2 : 1;  // as `crossover --help` promises
}

int Serve(int argc, char** argv) {
  Options options;
  options.data = config::DefaultDataFolder();
  config::Config config("crossover-platform", "Runs all of Crossover on this machine.");
  DeclareFlags(config, options);
  const absl::StatusOr<config::Next> next = config.Parse(argc, argv);
  if (!next.ok()) return Fail(next.status());
  if (*next == config::Next::kExit) return 0;
  JsonLoggerOptions log{.service = "platform"};
  const absl::Status level = ParseLogLevel(options.log_level, &log.level);
  if (!level.ok()) return Fail(level);
  rpc::ShutdownSignal signal;
  const std::unique_ptr<Logger> logger = NewJsonLogger(log, SystemClock());
  logger->Info("config", {{"effective", config.EffectiveJson()}});
  const auto platform = Platform::Start(options, SystemClock(), SystemRandom(), *logger);
  if (!platform.ok()) return Fail(platform.status());
  std::fputs(Greeting((*platform)->state(), (*platform)->notes()).c_str(), stdout);
  std::fflush(stdout);
  logger->Info("stopping", {{"signal", signal.Wait()}});
  (*platform)->Stop();
  return 0;
}

}  // namespace
}  // namespace crossover::platform

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "migrate") {
    return crossover::service::RunMigrate("crossover-platform migrate", argc - 1, argv + 1,
                                          &crossover::platform::MigrateAll);
  }
  return crossover::platform::Serve(argc, argv);
}
