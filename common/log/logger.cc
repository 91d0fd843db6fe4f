#include "common/log/logger.h"

#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/context/request_context.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover {
namespace {

constexpr const char* kLevelNames[] = {"debug", "info", "warning", "error"};

class JsonLogger final : public Logger {
 public:
  JsonLogger(JsonLoggerOptions options, Clock& clock)
      : options_(std::move(options)), clock_(clock) {}

  bool Enabled(LogLevel level) const override { return level >= options_.level; }

  void Write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) override {
    if (!Enabled(level)) return;
    nlohmann::ordered_json line;
    line["time"] = std::string(
        ToStd(absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", clock_.Now(), absl::UTCTimeZone())));
    line["level"] = kLevelNames[static_cast<int>(level)];
    line["service"] = options_.service;
    line["event"] = event;
    for (const LogField& field : fields) {
      std::visit([&](const auto& value) { line[field.key] = value; }, field.value);
    }
    const std::string& trace = RequestContext::Current().trace_id;
    if (!trace.empty()) line["trace_id"] = trace;
    // Bytes that are not UTF-8 must not lose an event.
    WriteLine(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }

 private:
  void WriteLine(const std::string& text) {
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t n = ::write(options_.fd, text.data() + done, text.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return;  // nobody is left to tell
      done += static_cast<size_t>(n);
    }
  }

  const JsonLoggerOptions options_;
  Clock& clock_;
};

}  // namespace

LogField::LogField(std::string_view name, const absl::Status& status)
    : key(name),
      value(std::string(ToStd(absl::StatusCodeToString(status.code()))) +
            (status.ok() ? "" : ": " + std::string(ToStd(status.message())))) {}

std::unique_ptr<Logger> NewJsonLogger(JsonLoggerOptions options, Clock& clock) {
  return std::make_unique<JsonLogger>(std::move(options), clock);
}

absl::Status ParseLogLevel(std::string_view text, LogLevel* level) {
  for (int i = 0; i < 4; ++i) {
    if (text != kLevelNames[i]) continue;
    *level = static_cast<LogLevel>(i);
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
               "'" + std::string(text) + "' is not a log level: use debug, info, warning or error");
}

}  // namespace crossover
