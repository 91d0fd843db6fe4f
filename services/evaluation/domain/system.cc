#include "services/evaluation/domain/system.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/canonical.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

constexpr double kPerMillion = 1e-6;

nlohmann::json SamplingJson(const prompt::Sampling& sampling) {
  nlohmann::json json = nlohmann::json::object();
  if (sampling.temperature) json["temperature"] = *sampling.temperature;
  if (sampling.top_p) json["top_p"] = *sampling.top_p;
  if (sampling.top_k) json["top_k"] = *sampling.top_k;
  if (sampling.max_tokens) json["max_tokens"] = *sampling.max_tokens;
  if (sampling.seed) json["seed"] = *sampling.seed;
  if (!sampling.stop.empty()) json["stop"] = sampling.stop;
  return json;
}

std::string LastSegment(const std::string& name) {
  size_t slash = name.rfind('/');
  std::string segment = slash == std::string::npos ? name : name.substr(slash + 1);
  return segment.rfind("sha256:", 0) == 0 ? segment.substr(7, 8) : segment;
}

}  // namespace

Usage& Usage::operator+=(const Usage& other) {
  input += other.input;
  cached_input += other.cached_input;
  output += other.output;
  return *this;
}

double CostOf(const Usage& usage, const Prices& prices) {
  return kPerMillion * (static_cast<double>(usage.input - usage.cached_input) * prices.input +
                        static_cast<double>(usage.cached_input) * prices.cached_input +
                        static_cast<double>(usage.output) * prices.output);
}

absl::StatusOr<System> WithDigest(System system) {
  nlohmann::json json = {
      {"kind", static_cast<int>(system.kind)},
      {"model", system.model_digest.empty() ? system.model : system.model_digest},
      {"sampling", SamplingJson(system.sampling)}};
  if (!system.prompt_version.empty()) json["prompt_version"] = system.prompt_version;
  if (!system.base_digest.empty()) json["base"] = system.base_digest;
  if (!system.upstream.empty()) json["upstream"] = system.upstream;
  if (!system.revision.empty()) json["revision"] = system.revision;
  if (!system.response_format.empty()) json["response_format"] = system.response_format;
  ASSIGN_OR_RETURN(system.digest, CanonicalDigest(json));
  return system;
}

std::string Title(const System& system) {
  if (!system.display_name.empty()) return system.display_name;
  std::string title = LastSegment(system.model);
  if (!system.prompt_version.empty())
    absl::StrAppend(&title, " + prompt ", LastSegment(system.prompt_version));
  return title;
}

}  // namespace crossover::evaluation
