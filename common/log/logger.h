// One JSON line per event.
//
//   logger.Info("job_state", {{"job", id}, {"epoch", 3}, {"state", "RUNNING"}});
//   {"time":"2026-…Z","level":"info","service":"scheduler","event":"job_state","job":"…","epoch":3,"state":"RUNNING","trace_id":"…"}
//
// Event names are snake_case nouns and verbs, the same for every occurrence; what varies is a
// field. The trace id of the calling thread's RequestContext is added. Never log secrets, prompt
// text or row bodies.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace crossover {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// A named value. Durations are written in seconds, statuses as "CODE: message".
struct LogField {
  using Value = std::variant<std::string, int64_t, double, bool>;

  LogField(std::string_view name, std::string text) : key(name), value(std::move(text)) {}
  LogField(std::string_view name, std::string_view text) : key(name), value(std::string(text)) {}
  LogField(std::string_view name, const char* text) : key(name), value(std::string(text)) {}
  LogField(std::string_view name, bool flag) : key(name), value(flag) {}
  LogField(std::string_view name, double number) : key(name), value(number) {}
  LogField(std::string_view name, absl::Duration duration)
      : key(name), value(absl::ToDoubleSeconds(duration)) {}
  LogField(std::string_view name, const absl::Status& status);
  template <typename T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  LogField(std::string_view name, T number) : key(name), value(static_cast<int64_t>(number)) {}

  std::string key;
  Value value;
};

// Thread-safe.
class Logger {
 public:
  virtual ~Logger() = default;

  virtual void Write(LogLevel level, std::string_view event,
                     const std::vector<LogField>& fields) = 0;
  virtual bool Enabled(LogLevel) const { return true; }

  void Debug(std::string_view event, std::initializer_list<LogField> fields = {}) {
    if (Enabled(LogLevel::kDebug)) Write(LogLevel::kDebug, event, fields);
  }
  void Info(std::string_view event, std::initializer_list<LogField> fields = {}) {
    if (Enabled(LogLevel::kInfo)) Write(LogLevel::kInfo, event, fields);
  }
  void Warning(std::string_view event, std::initializer_list<LogField> fields = {}) {
    if (Enabled(LogLevel::kWarning)) Write(LogLevel::kWarning, event, fields);
  }
  void Error(std::string_view event, std::initializer_list<LogField> fields = {}) {
    Write(LogLevel::kError, event, fields);
  }
};

struct JsonLoggerOptions {
  std::string service;               // field "service"
  LogLevel level = LogLevel::kInfo;  // events below are not written
  int fd = 2;  // borrowed; each event is one write(2), so lines of several processes do not mix
};

// Writes JSON lines. Borrows the clock.
std::unique_ptr<Logger> NewJsonLogger(JsonLoggerOptions options, Clock& clock);

// "debug", "info", "warning", "error". INVALID_ARGUMENT otherwise.
absl::Status ParseLogLevel(std::string_view text, LogLevel* level);

}  // namespace crossover
