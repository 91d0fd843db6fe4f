#include "common/log/fake_logger.h"

#include <nlohmann/json.hpp>

namespace crossover {

std::optional<std::string> FakeLogger::Entry::Field(std::string_view key) const {
  for (const LogField& field : fields) {
    if (field.key != key) continue;
    if (const auto* text = std::get_if<std::string>(&field.value)) return *text;
    nlohmann::json value;
    std::visit([&](const auto& v) { value = v; }, field.value);
    return value.dump();
  }
  return std::nullopt;
}

void FakeLogger::Write(LogLevel level, std::string_view event,
                       const std::vector<LogField>& fields) {
  std::lock_guard lock(mutex_);
  entries_.push_back({level, std::string(event), fields});
}

std::vector<FakeLogger::Entry> FakeLogger::Entries() const {
  std::lock_guard lock(mutex_);
  return entries_;
}

std::vector<FakeLogger::Entry> FakeLogger::Events(std::string_view event) const {
  std::lock_guard lock(mutex_);
  std::vector<Entry> out;
  for (const Entry& entry : entries_) {
    if (entry.event == event) out.push_back(entry);
  }
  return out;
}

}  // namespace crossover
