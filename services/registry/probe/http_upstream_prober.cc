#include "services/registry/probe/http_upstream_prober.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::registry {
namespace {

using Json = nlohmann::json;

absl::Status Unhealthy(const std::string& url, const std::string& what) {
  return Error(absl::StatusCode::kUnavailable, "UPSTREAM_UNHEALTHY", absl::StrCat(url, ": ", what));
}

absl::Status BadCredential(const std::string& what) {
  return Error(absl::StatusCode::kFailedPrecondition, "CONFIG_INVALID", "credential_ref: " + what);
}

// The JSON of an answer with status 200.
absl::StatusOr<Json> JsonOf(const std::string& url,
                            const absl::StatusOr<http::ClientResponse>& response) {
  if (!response.ok()) return Unhealthy(url, std::string(response.status().message()));
  const Json body = Json::parse(response->body, nullptr, false);
  if (response->status != 200) {
    const bool explained = body.is_object() && body.contains("error") && body["error"].is_object();
    const std::string message = explained ? body["error"].value("message", "") : "";
    return Unhealthy(url, absl::StrCat("answered with status ", response->status,
                                       message.empty() ? "" : ": ", message));
  }
  if (!body.is_object()) return Unhealthy(url, "answered with something that is not JSON");
  return body;
}

std::string TextAt(const Json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<std::string> ReadCredential(const std::string& reference) {
  if (reference.empty()) return std::string();
  if (absl::StartsWith(reference, "env:")) {
    const char* value = std::getenv(reference.c_str() + 4);
    if (value == nullptr)
      return BadCredential("the environment has no variable " + reference.substr(4));
    return std::string(value);
  }
  if (!absl::StartsWith(reference, "file:"))
    return BadCredential("must be file:/path or env:NAME, never the key itself");
  std::ifstream file(reference.substr(5));
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return BadCredential("cannot read the file " + reference.substr(5));
  return std::string(absl::StripAsciiWhitespace(text.str()));
}

absl::StatusOr<ProbeResult> HttpUpstreamProber::Probe(const ProbeRequest& request) {
  ASSIGN_OR_RETURN(const std::string secret, ReadCredential(request.credential_ref));
  http::Headers headers = {{"Content-Type", "application/json"}};
  if (!secret.empty()) headers.Set("Authorization", "Bearer " + secret);
  ProbeResult result;
  ASSIGN_OR_RETURN(result.models, ListModels(request, headers));
  result.model = request.model;
  if (result.model.empty() && !result.models.empty()) result.model = result.models[0];
  if (result.model.empty()) return Unhealthy(request.base_url, "lists no model: name one to ask");
  RETURN_IF_ERROR(AskOneToken(request, headers, result));
  return result;
}

absl::StatusOr<std::vector<std::string>> HttpUpstreamProber::ListModels(
    const ProbeRequest& request, const http::Headers& headers) {
  const std::string url = request.base_url + "/models";
  ASSIGN_OR_RETURN(
      const Json body,
      JsonOf(url, client_.Send({.url = url, .headers = headers, .timeout = request.timeout})));
  std::vector<std::string> models;
  const auto data = body.find("data");
  if (data == body.end() || !data->is_array())
    return Unhealthy(url, "has no `data` array of models");
  for (const Json& model : *data) {
    if (model.is_object() && !TextAt(model, "id").empty()) models.push_back(TextAt(model, "id"));
  }
  return models;
}

absl::Status HttpUpstreamProber::AskOneToken(const ProbeRequest& request,
                                             const http::Headers& headers, ProbeResult& result) {
  const std::string url = request.base_url + "/chat/completions";
  const Json question = {{"model", result.model},
                         {"max_tokens", 1},
                         {"messages", {{{"role", "user"}, {"content", "ping"}}}}};
  const absl::Duration started = clock_.SteadyNow();
  ASSIGN_OR_RETURN(const Json body, JsonOf(url, client_.Send({.method = "POST",
                                                              .url = url,
                                                              .headers = headers,
                                                              .body = question.dump(),
                                                              .timeout = request.timeout})));
  result.latency = clock_.SteadyNow() - started;
  if (!body.contains("choices")) return Unhealthy(url, "answered without `choices`");
  const std::string answered = TextAt(body, "model");
  const std::string fingerprint = TextAt(body, "system_fingerprint");
  result.revision = absl::StrCat(answered.empty() ? result.model : answered,
                                 fingerprint.empty() ? "" : " ", fingerprint);
  return absl::OkStatus();
}

}  // namespace crossover::registry
