#include "services/shadow_router/domain/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/json/canonical.h"
#include "common/json/digest.h"

namespace crossover::router {

std::string JsonDigest(const nlohmann::json& value) {
  const auto canonical = CanonicalDigest(value);
  // Only text that is not UTF-8 gets here; its bytes still tell two values apart.
  return canonical.ok()
             ? *canonical
             : DigestOf(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

uint64_t SaltedHash(std::string_view salt, std::string_view key) {
  std::string joined;
  joined.reserve(salt.size() + 1 + key.size());
  joined.append(salt).push_back('\0');
  joined.append(key);
  return XXH3_64bits(joined.data(), joined.size());
}

std::string ShortHash(std::string_view text) {
  return absl::StrCat(absl::Hex(XXH3_64bits(text.data(), text.size()), absl::kZeroPad16));
}

}  // namespace crossover::router
