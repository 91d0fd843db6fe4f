#include "services/training_scheduler/domain/webhook.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/http/message.h"
#include "common/status/error.h"
#include "services/training_scheduler/domain/labels.h"
#include "services/training_scheduler/domain/state_machine.h"

namespace crossover::scheduler {
namespace {

constexpr size_t kUrlLimit = 2048;

// What is wrong with a URL; empty = nothing.
std::string UrlProblem(const std::string& url) {
  if (url.empty()) return "is required";
  if (url.size() > kUrlLimit) return absl::StrCat("has ", url.size(), " characters; at most 2048");
  const std::optional<http::Url> parsed = http::ParseUrl(url);
  if (!parsed.has_value() || parsed->host.empty()) {
    return absl::StrCat("is '", url, "'; must be http:// or https:// with a host");
  }
  const size_t authority = url.find("//") + 2;
  if (url.substr(authority, url.find('/', authority) - authority).find('@') != std::string::npos) {
    return "carries a user name; the signature proves who calls";
  }
  return "";
}

}  // namespace

std::string_view Name(DeliveryState state) {
  switch (state) {
    case DeliveryState::kPending:
      return "PENDING";
    case DeliveryState::kDelivered:
      return "DELIVERED";
    case DeliveryState::kExhausted:
      return "EXHAUSTED";
  }
  return "PENDING";
}

std::optional<DeliveryState> ParseDeliveryState(std::string_view name) {
  for (const DeliveryState state :
       {DeliveryState::kPending, DeliveryState::kDelivered, DeliveryState::kExhausted}) {
    if (Name(state) == name) return state;
  }
  return std::nullopt;
}

const std::vector<std::string>& WebhookEventTypes() {
  static const auto* const kTypes = new std::vector<std::string>{
      "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"};
  return *kTypes;
}

std::optional<std::string> WebhookEventOf(const Job& job) {
  if (job.kind == JobKind::kExport || job.kind == JobKind::kScore) return std::nullopt;
  switch (job.state) {
    case JobState::kSucceeded:
      return WebhookEventTypes()[0];
    case JobState::kFailed:
      return WebhookEventTypes()[1];
    case JobState::kCancelled:
      return WebhookEventTypes()[2];
    default:
      return std::nullopt;
  }
}

absl::Status CheckEndpoint(const WebhookEndpoint& endpoint) {
  std::vector<FieldViolation> violations = CheckLabels("webhook_endpoint.labels", endpoint.labels);
  const auto& known = WebhookEventTypes();
  for (size_t i = 0; i < endpoint.event_types.size(); ++i) {
    const std::string& type = endpoint.event_types[i];
    if (std::find(known.begin(), known.end(), type) != known.end()) continue;
    violations.push_back({absl::StrCat("webhook_endpoint.event_types[", i, "]"),
                          absl::StrCat("is '", type, "'; known are ", absl::StrJoin(known, ", "))});
  }
  if (std::string problem = UrlProblem(endpoint.url); !problem.empty()) {
    violations.insert(violations.begin(), {"webhook_endpoint.url", std::move(problem)});
  }
  if (violations.empty()) return absl::OkStatus();
  const std::string message = absl::StrCat(violations[0].field, " ", violations[0].description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = std::move(violations)});
}

std::string WebhookBody(const WebhookDelivery& delivery) {
  const nlohmann::ordered_json body = {
      {"id", absl::StrCat("evt_", delivery.id)},
      {"object", "event"},
      {"created_at", absl::ToUnixSeconds(delivery.create_time)},
      {"type", delivery.event_type},
      {"data", {{"id", absl::StrCat("ftjob-", delivery.job)}}},
  };
  return body.dump();
}

std::optional<absl::Duration> WebhookPause(int attempts) {
  static const std::array<absl::Duration, 9> kPauses = {
      absl::Seconds(5), absl::Minutes(5), absl::Minutes(30), absl::Hours(2), absl::Hours(5),
      absl::Hours(10),  absl::Hours(14),  absl::Hours(20),   absl::Hours(24)};
  if (attempts < 1) return absl::ZeroDuration();
  if (attempts > static_cast<int>(kPauses.size())) return std::nullopt;
  return kPauses[static_cast<size_t>(attempts - 1)];
}

}  // namespace crossover::scheduler
