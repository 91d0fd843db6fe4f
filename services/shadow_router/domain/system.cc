#include "services/shadow_router/domain/system.h"

#include "common/prompt/system_digest.h"

namespace crossover::router {
namespace {

prompt::SystemModel KindOf(ModelRef::Kind kind) {
  switch (kind) {
    case ModelRef::Kind::kBaseModel:
      return prompt::SystemModel::kBase;
    case ModelRef::Kind::kAdapter:
      return prompt::SystemModel::kAdapter;
    case ModelRef::Kind::kUpstream:
      return prompt::SystemModel::kUpstream;
  }
  return prompt::SystemModel::kUpstream;
}

}  // namespace

std::string SystemDigest(const System& system) {
  return prompt::SystemDigest({.prompt_version = system.prompt_version,
                               .kind = KindOf(system.model.kind),
                               .model = system.model.WireName(),
                               .upstream = system.model.upstream,
                               .revision = system.model.revision,
                               .sampling = system.sampling});
}

double CostUsd(const Prices& prices, const Usage& usage) {
  const auto fresh = static_cast<double>(usage.input - usage.cached_input);
  return (fresh * prices.input + static_cast<double>(usage.cached_input) * prices.cached_input +
          static_cast<double>(usage.output) * prices.output) /
         1e6;
}

}  // namespace crossover::router
