#include "services/evaluation/domain/system.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/prompt/system_digest.h"

namespace crossover::evaluation {
namespace {

constexpr double kPerMillion = 1e-6;

prompt::SystemModel ModelOf(ModelKind kind) {
  if (kind == ModelKind::kBase) return prompt::SystemModel::kBase;
  if (kind == ModelKind::kAdapter) return prompt::SystemModel::kAdapter;
  return prompt::SystemModel::kUpstream;
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

std::string CostWords(const Prices& prices) {
  return absl::StrCat("measured tokens at the declared price",
                      prices.origin.empty() ? "" : absl::StrCat(" (", prices.origin, ")"));
}

double CostOf(const Usage& usage, const Prices& prices) {
  return kPerMillion * (static_cast<double>(usage.input - usage.cached_input) * prices.input +
                        static_cast<double>(usage.cached_input) * prices.cached_input +
                        static_cast<double>(usage.output) * prices.output);
}

System WithDigest(System system) {
  std::map<std::string, std::string> sampling = prompt::SamplingFields(system.sampling);
  if (!system.response_format.empty()) sampling["response_format"] = system.response_format;
  system.digest = prompt::SystemDigest(
      {.prompt_version = system.prompt_version,
       .kind = ModelOf(system.kind),
       .model = system.model_digest.empty() ? system.model : system.model_digest,
       .upstream = system.upstream,
       .revision = system.revision,
       .sampling = std::move(sampling)});
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
