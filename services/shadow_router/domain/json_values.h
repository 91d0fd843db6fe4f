// The values that records of record_json.h are made of, and the one place where a record that
// cannot be read becomes a status.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/answer.h"

namespace crossover::router {

// Microseconds since 1970, and nanoseconds of durations: exact in JSON's doubles for some centuries
// and weeks.
inline int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }
inline absl::Time TimeAt(const nlohmann::json& json) {
  return absl::FromUnixMicros(json.get<int64_t>());
}
inline int64_t Nanos(absl::Duration duration) { return absl::ToInt64Nanoseconds(duration); }
inline absl::Duration DurationOf(const nlohmann::json& json) {
  return absl::Nanoseconds(json.get<int64_t>());
}

template <typename T>
void Put(nlohmann::json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}
template <typename T>
void Take(const nlohmann::json& json, const char* key, std::optional<T>& value) {
  if (const auto it = json.find(key); it != json.end() && !it->is_null()) value = it->get<T>();
}

// Runs `read` and turns the library's exceptions into a status.
template <typename Read>
absl::Status Guarded(const char* what, const Read& read) {
  try {
    read();
    return absl::OkStatus();
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(absl::StrCat("stored ", what, " cannot be read: ", error.what()));
  }
}

template <typename T, typename Read>
absl::StatusOr<T> ReadGuarded(const char* what, const Read& read) {
  T value;
  absl::Status status = Guarded(what, [&] { read(value); });
  if (!status.ok()) return status;
  return value;
}

inline nlohmann::json UsageJson(const Usage& usage) {
  return {usage.input, usage.cached_input, usage.output};
}
inline Usage UsageOf(const nlohmann::json& json) {
  return {json.at(0).get<int64_t>(), json.at(1).get<int64_t>(), json.at(2).get<int64_t>()};
}

}  // namespace crossover::router
