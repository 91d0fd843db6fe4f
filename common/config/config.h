// Configuration of a binary: one struct, its fields declared once.
//
//   struct Options { std::string listen = "127.0.0.1:7070"; absl::Duration drain =
//   absl::Seconds(30); std::string password; }; Options options; config::Config
//   config("crossover-training-scheduler", "Runs the job queue."); config.Add("listen", "host:port
//   of the gRPC server", &options.listen); config.Add("drain-timeout", "how long to wait for calls
//   to end", &options.drain); config.AddSecret("pg-password", "password of the database user",
//   &options.password); absl::StatusOr<config::Next> next = config.Parse(argc, argv);
//
// Each field `drain-timeout` can be set, strongest first, by the flag --drain-timeout, by
// CROSSOVER_DRAIN_TIMEOUT, by the key drain-timeout (or drain: {timeout: …}) of the YAML file named
// by --config / CROSSOVER_CONFIG; else the value the field had when it was declared. An unknown
// flag, CROSSOVER_ variable or key is an error that names the nearest known one. Secrets have no
// flag: CROSSOVER_PG_PASSWORD holds the value, CROSSOVER_PG_PASSWORD_FILE or --pg-password-file a
// file's name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::config {

enum class Next { kRun, kExit };  // kExit: --help or --version has been printed

// Not thread-safe; used once, in main. Borrows the fields it writes to.
class Config {
 public:
  using Environment = std::map<std::string, std::string>;

  Config(std::string program, std::string about);
  ~Config();
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  // `name` is kebab-case and unique. `*field` is the default.
  void Add(std::string_view name, std::string_view help, std::string* field);
  void Add(std::string_view name, std::string_view help, std::filesystem::path* field);
  void Add(std::string_view name, std::string_view help, int* field);
  void Add(std::string_view name, std::string_view help, int64_t* field);
  void Add(std::string_view name, std::string_view help, double* field);
  void Add(std::string_view name, std::string_view help, bool* field);            // --x, --x=false
  void Add(std::string_view name, std::string_view help, absl::Duration* field);  // 30s, 5m, 1h30m
  void Add(std::string_view name, std::string_view help, std::vector<std::string>* field);  // a,b,c
  void AddSecret(std::string_view name, std::string_view help, std::string* field);

  // Reads all sources and writes the fields. INVALID_ARGUMENT `CONFIG_INVALID` says which source,
  // which key and what is wrong.
  absl::StatusOr<Next> Parse(int argc, const char* const* argv);
  // The same with a given environment, for tests.
  absl::StatusOr<Next> Parse(const std::vector<std::string>& args, const Environment& environment);

  // {"name": "value", …} in order of declaration with secrets as "<redacted>"; print it once after
  // Parse.
  std::string EffectiveJson() const;
  // Where a value came from: "flag", "environment", "file", "default".
  std::string SourceOf(std::string_view name) const;

 private:
  struct Field;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// --data / CROSSOVER_DATA, else $XDG_DATA_HOME/crossover, else ~/.local/share/crossover.
std::filesystem::path DefaultDataFolder();

}  // namespace crossover::config
