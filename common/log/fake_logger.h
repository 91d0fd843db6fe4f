// A logger for tests: keeps what was written.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/log/logger.h"

namespace crossover {

// Thread-safe.
class FakeLogger final : public Logger {
 public:
  struct Entry {
    LogLevel level;
    std::string event;
    std::vector<LogField> fields;

    // The field's text ("3", "true", "0.5", …), or nullopt.
    std::optional<std::string> Field(std::string_view key) const;
  };

  void Write(LogLevel level, std::string_view event, const std::vector<LogField>& fields) override;

  std::vector<Entry> Entries() const;
  // Entries with this event name.
  std::vector<Entry> Events(std::string_view event) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace crossover
