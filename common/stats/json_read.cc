#include "common/stats/json_read.h"

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::stats {

JsonReader::JsonReader(const nlohmann::json& json, std::string_view what)
    : json_(json), what_(what) {
  if (!json_.is_object()) {
    status_ = Error(absl::StatusCode::kInvalidArgument, "STATISTICS_STATE_INVALID",
                    absl::StrCat(what_, ": expected a JSON object"));
  }
}

const nlohmann::json* JsonReader::Find(const char* key,
                                       bool (nlohmann::json::*is_type)() const noexcept,
                                       const char* type) {
  if (!status_.ok()) return nullptr;
  auto found = json_.find(key);
  if (found != json_.end() && ((*found).*is_type)()) return &*found;
  status_ = Error(absl::StatusCode::kInvalidArgument, "STATISTICS_STATE_INVALID",
                  absl::StrCat(what_, ".", key, ": expected ", type));
  return nullptr;
}

void JsonReader::Number(const char* key, double& out) {
  if (const auto* value = Find(key, &nlohmann::json::is_number, "a number"))
    out = value->get<double>();
}

void JsonReader::Integer(const char* key, int64_t& out) {
  if (const auto* value = Find(key, &nlohmann::json::is_number_integer, "an integer"))
    out = value->get<int64_t>();
}

void JsonReader::Bool(const char* key, bool& out) {
  if (const auto* value = Find(key, &nlohmann::json::is_boolean, "true or false"))
    out = value->get<bool>();
}

void JsonReader::String(const char* key, std::string& out) {
  if (const auto* value = Find(key, &nlohmann::json::is_string, "a string"))
    out = value->get<std::string>();
}

void JsonReader::Numbers(const char* key, std::vector<double>& out) {
  const auto* value = Find(key, &nlohmann::json::is_array, "an array of numbers");
  if (value == nullptr) return;
  std::vector<double> numbers;
  for (const auto& element : *value) {
    if (!element.is_number()) {
      status_ = Error(absl::StatusCode::kInvalidArgument, "STATISTICS_STATE_INVALID",
                      absl::StrCat(what_, ".", key, "[", numbers.size(), "]: expected a number"));
      return;
    }
    numbers.push_back(element.get<double>());
  }
  out = std::move(numbers);
}

bool JsonReader::IsNull(const char* key) const {
  auto found = json_.is_object() ? json_.find(key) : json_.end();
  return json_.is_object() && found != json_.end() && found->is_null();
}

}  // namespace crossover::stats
