#include "services/shadow_router/domain/system.h"

#include <nlohmann/json.hpp>

#include "services/shadow_router/domain/hash.h"

namespace crossover::router {
namespace {

const char* KindName(ModelRef::Kind kind) {
  switch (kind) {
    case ModelRef::Kind::kBaseModel:
      return "base_model";
    case ModelRef::Kind::kAdapter:
      return "adapter";
    case ModelRef::Kind::kUpstream:
      return "upstream";
  }
  return "";
}

}  // namespace

std::string SystemDigest(const System& system) {
  nlohmann::json sampling = nlohmann::json::object();
  for (const auto& [name, text] : system.sampling) {
    sampling[name] = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  }
  return JsonDigest({{"prompt_version", system.prompt_version},
                     {"model",
                      {{"kind", KindName(system.model.kind)},
                       {"model", system.model.WireName()},
                       {"upstream", system.model.upstream}}},
                     {"sampling", sampling}});
}

double CostUsd(const Prices& prices, const Usage& usage) {
  const auto fresh = static_cast<double>(usage.input - usage.cached_input);
  return (fresh * prices.input + static_cast<double>(usage.cached_input) * prices.cached_input +
          static_cast<double>(usage.output) * prices.output) /
         1e6;
}

}  // namespace crossover::router
