#include "common/json/digest.h"

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// OpenSSL's SHA-256 fails only when memory or the library itself is broken.
void Check(int ok) {
  if (ok != 1) {
    std::fputs("OpenSSL cannot compute SHA-256\n", stderr);
    std::abort();
  }
}

}  // namespace

struct Sha256::Context {
  Context() : evp(EVP_MD_CTX_new()) { Check(EVP_DigestInit_ex(evp, EVP_sha256(), nullptr)); }
  ~Context() { EVP_MD_CTX_free(evp); }
  EVP_MD_CTX* evp;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view bytes) {
  Check(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()));
}

Sha256Bytes Sha256::FinishBytes() {
  Sha256Bytes out;
  Check(EVP_DigestFinal_ex(context_->evp, out.data(), nullptr));
  return out;
}

std::string Sha256::FinishDigest() { return ToDigest(FinishBytes()); }

Sha256Bytes Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.FinishBytes();
}

std::string DigestOf(std::string_view bytes) { return ToDigest(Sha256Of(bytes)); }

absl::StatusOr<std::string> DigestOfFile(const std::filesystem::path& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                       &std::fclose);
  if (file == nullptr) {
    return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                 "cannot open " + path.string() + ": " + std::strerror(errno));
  }
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  size_t got = 0;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0) {
    hash.Update({buffer.data(), got});
  }
  if (std::ferror(file.get()) != 0) {
    return Error(absl::StatusCode::kUnavailable, "FILE_UNREADABLE",
                 "cannot read " + path.string() + ": " + std::strerror(errno));
  }
  return hash.FinishDigest();
}

std::string ToDigest(const Sha256Bytes& bytes) {
  const absl::string_view raw(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return std::string(kPrefix) + absl::BytesToHexString(raw);
}

bool IsDigest(std::string_view text) {
  if (text.size() != kPrefix.size() + kHexDigits || !text.starts_with(kPrefix)) return false;
  for (const char c : text.substr(kPrefix.size())) {
    if (!IsLowerHex(c)) return false;
  }
  return true;
}

absl::StatusOr<Sha256Bytes> ParseDigest(std::string_view digest) {
  if (!IsDigest(digest)) {
    return Error(absl::StatusCode::kInvalidArgument, "DIGEST_INVALID",
                 "'" + std::string(digest.substr(0, 100)) +
                     "' is not a digest: expected sha256: and 64 lower-case hex digits");
  }
  const std::string raw = absl::HexStringToBytes(ToAbsl(digest.substr(kPrefix.size())));
  Sha256Bytes out;
  std::memcpy(out.data(), raw.data(), out.size());
  return out;
}

}  // namespace crossover
