#include "services/shadow_router/domain/route.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

bool IsSlug(const std::string& text) {
  if (text.empty() || text.size() > 63) return false;
  if (text.front() < 'a' || text.front() > 'z' || text.back() == '-') return false;
  for (char c : text) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-') return false;
  }
  return true;
}

void CheckVariant(const std::string& name, const System& system,
                  std::vector<FieldViolation>& violations) {
  const std::string path = absl::StrCat("variants[", name, "]");
  if (!IsSlug(name)) {
    violations.push_back(
        {path, "a variant's name is 1-63 of a-z, 0-9 and '-', starting with a letter"});
  }
  if (system.model.model.empty()) {
    violations.push_back({absl::StrCat(path, ".model"),
                          "must name a base model, an adapter, or an upstream and its model id"});
  }
  if (system.model.kind == ModelRef::Kind::kUpstream && system.model.upstream.empty()) {
    violations.push_back({absl::StrCat(path, ".model.upstream"),
                          "must name an upstream, such as projects/default/upstreams/openai"});
  }
}

}  // namespace

absl::Status Validate(const Route& route) {
  std::vector<FieldViolation> violations;
  if (!IsSlug(LastSegment(route.name))) {
    violations.push_back(
        {"name", absl::StrCat(
                     "'", LastSegment(route.name),
                     "' is not a route's name: 1-63 of a-z, 0-9 and '-', starting with a letter")});
  }
  if (route.variants.empty()) violations.push_back({"variants", "at least one variant is needed"});
  for (const auto& [name, system] : route.variants) CheckVariant(name, system, violations);
  if (!route.variants.contains(route.primary)) {
    violations.push_back(
        {"primary", absl::StrCat("'", route.primary, "' is not one of the variants")});
  }
  for (size_t i = 0; i < route.fallbacks.size(); ++i) {
    if (!route.variants.contains(route.fallbacks[i])) {
      violations.push_back({absl::StrCat("fallbacks[", i, "]"),
                            absl::StrCat("'", route.fallbacks[i], "' is not one of the variants")});
    }
  }
  if (route.mode == RouteMode::kHybrid) {
    violations.push_back({"mode",
                          "HYBRID needs a fitted threshold, which this version cannot serve yet; "
                          "use PROMPT or FINE_TUNE"});
  }
  if (violations.empty()) return absl::OkStatus();
  const std::string message = absl::StrCat("the route is not valid: ", violations.front().field,
                                           ": ", violations.front().description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "INVALID_ROUTE", .metadata = {}, .violations = std::move(violations)});
}

std::string LastSegment(const std::string& name) {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? name : name.substr(slash + 1);
}

std::string ProjectOf(const std::string& name) {
  constexpr std::string_view kPrefix = "projects/";
  if (name.rfind(kPrefix, 0) != 0) return "";
  const size_t end = name.find('/', kPrefix.size());
  return name.substr(0, end);
}

}  // namespace crossover::router
