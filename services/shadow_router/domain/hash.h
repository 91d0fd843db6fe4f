// Hashes that the router's decisions rest on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace crossover::router {

// `sha256:<64 hex>` of the RFC 8785 form. For values made by the router itself, which are always
// canonicalisable.
std::string JsonDigest(const nlohmann::json& value);

// XXH3-64 of `salt`, a zero byte and `key`. Stable across processes, machines and versions:
// assignment depends on it.
uint64_t SaltedHash(std::string_view salt, std::string_view key);

// 16 hex digits of the unsalted hash: cluster keys, so that neither user nor conversation is
// stored.
std::string ShortHash(std::string_view text);

}  // namespace crossover::router
