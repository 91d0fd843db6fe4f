#include "common/status/error.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/cord.h"
#include "common/status/absl_view.h"

namespace crossover {
namespace {

constexpr char kDetailUrl[] = "type.crossover.dev/ErrorDetail";

std::string ToJson(const ErrorDetail& detail) {
  nlohmann::json json{{"reason", detail.reason}, {"metadata", detail.metadata}};
  for (const FieldViolation& violation : detail.violations) {
    json["violations"].push_back({violation.field, violation.description});
  }
  // Bytes from a bad file may be in a description; they must not make an error about them fail.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::Status Error(absl::StatusCode code, std::string_view message, ErrorDetail detail) {
  absl::Status status(code, ToAbsl(message));
  status.SetPayload(kDetailUrl, absl::Cord(ToJson(detail)));
  return status;
}

absl::Status Error(absl::StatusCode code, std::string_view reason, std::string_view message) {
  return Error(code, message, ErrorDetail{.reason = std::string(reason)});
}

ErrorDetail DetailOf(const absl::Status& status) {
  ErrorDetail detail;
  const auto payload = status.GetPayload(kDetailUrl);
  if (!payload) return detail;
  const nlohmann::json json = nlohmann::json::parse(std::string(*payload));
  detail.reason = json.at("reason");
  detail.metadata = json.at("metadata");
  if (!json.contains("violations")) return detail;
  for (const auto& violation : json.at("violations")) {
    detail.violations.push_back({violation.at(0), violation.at(1)});
  }
  return detail;
}

bool HasReason(const absl::Status& status, std::string_view reason) {
  return DetailOf(status).reason == reason;
}

absl::Status WithContext(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(),
                   std::string(context) + ": " + std::string(ToStd(status.message())));
  status.ForEachPayload(
      [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace crossover
