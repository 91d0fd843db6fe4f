// Reads the members of a stored state and remembers the first that is missing or of the wrong type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"

namespace crossover::stats {

// Not thread-safe. Borrows `json`. After the first problem every read leaves its output untouched.
class JsonReader {
 public:
  // `what` names the thing in messages.
  JsonReader(const nlohmann::json& json, std::string_view what);

  void Number(const char* key, double& out);
  void Integer(const char* key, int64_t& out);
  void Bool(const char* key, bool& out);
  void String(const char* key, std::string& out);
  void Numbers(const char* key, std::vector<double>& out);
  // True if the member exists and is null.
  bool IsNull(const char* key) const;

  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(const char* key, bool (nlohmann::json::*is_type)() const noexcept,
                             const char* type);

  const nlohmann::json& json_;
  std::string what_;
  absl::Status status_;
};

}  // namespace crossover::stats
