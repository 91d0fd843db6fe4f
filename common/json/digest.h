// SHA-256 in the one form the project writes it: "sha256:<64 lower-case hex digits>".
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crossover {

using Sha256Bytes = std::array<uint8_t, 32>;

// Incremental. Not thread-safe; Finish* may be called once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::string_view bytes);
  Sha256Bytes FinishBytes();
  std::string FinishDigest();  // "sha256:…"

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Digest of bytes in memory.
std::string DigestOf(std::string_view bytes);
Sha256Bytes Sha256Of(std::string_view bytes);
// Digest of a file, read in pieces. NOT_FOUND, or UNAVAILABLE when reading fails.
absl::StatusOr<std::string> DigestOfFile(const std::filesystem::path& path);

// "sha256:" + hex of these bytes, and back. ParseDigest: INVALID_ARGUMENT `DIGEST_INVALID`.
std::string ToDigest(const Sha256Bytes& bytes);
absl::StatusOr<Sha256Bytes> ParseDigest(std::string_view digest);
bool IsDigest(std::string_view text);

}  // namespace crossover
