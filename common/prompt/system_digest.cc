#include "common/prompt/system_digest.h"

#include <nlohmann/json.hpp>

#include "common/json/canonical.h"
#include "common/json/digest.h"

namespace crossover::prompt {
namespace {

using Json = nlohmann::json;

const char* KindName(SystemModel kind) {
  switch (kind) {
    case SystemModel::kBase:
      return "base_model";
    case SystemModel::kAdapter:
      return "adapter";
    case SystemModel::kUpstream:
      return "upstream";
  }
  return "";
}

}  // namespace

std::string SystemDigest(const SystemIdentity& system) {
  Json model = {{"kind", KindName(system.kind)}, {"model", system.model}};
  if (!system.upstream.empty()) model["upstream"] = system.upstream;
  if (!system.revision.empty()) model["revision"] = system.revision;
  Json sampling = Json::object();
  for (const auto& [name, text] : system.sampling) {
    Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    sampling[name] = value.is_discarded() ? Json(text) : std::move(value);
  }
  Json whole = {{"model", std::move(model)}, {"sampling", std::move(sampling)}};
  if (!system.prompt_version.empty()) whole["prompt_version"] = system.prompt_version;
  const auto canonical = CanonicalDigest(whole);
  // Only text that is not UTF-8 gets here; its bytes still tell two systems apart.
  return canonical.ok() ? *canonical
                        : DigestOf(whole.dump(-1, ' ', true, Json::error_handler_t::replace));
}

std::map<std::string, std::string> SamplingFields(const Sampling& sampling) {
  std::map<std::string, std::string> fields;
  if (sampling.temperature) fields["temperature"] = Json(*sampling.temperature).dump();
  if (sampling.top_p) fields["top_p"] = Json(*sampling.top_p).dump();
  if (sampling.top_k) fields["top_k"] = Json(*sampling.top_k).dump();
  if (sampling.max_tokens) fields["max_tokens"] = Json(*sampling.max_tokens).dump();
  if (sampling.seed) fields["seed"] = Json(*sampling.seed).dump();
  if (!sampling.stop.empty()) fields["stop"] = Json(sampling.stop).dump();
  return fields;
}

}  // namespace crossover::prompt
