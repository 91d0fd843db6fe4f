#include "services/registry/domain/api_key.h"

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"

namespace crossover::registry {
namespace {

constexpr char kPrefix[] = "xo-";
constexpr size_t kShown = 10;  // characters of the secret that lists show

}  // namespace

std::string NewSecret(RandomSource& random) { return absl::StrCat(kPrefix, random.Hex(32)); }

std::string HashSecret(std::string_view secret) { return DigestOf(secret).substr(7); }

std::string PrefixOf(std::string_view secret) { return std::string(secret.substr(0, kShown)); }

bool Accepts(const ApiKey& key, std::string_view secret_hash, absl::Time now) {
  if (key.revoked || (key.expire_time.has_value() && *key.expire_time <= now)) return false;
  if (secret_hash.size() != 64) return false;
  if (key.key_hash == secret_hash) return true;
  return key.former_hash == secret_hash && key.former_expire_time.has_value() &&
         *key.former_expire_time > now;
}

}  // namespace crossover::registry
