#include "common/id/uuid7.h"

#include <algorithm>

#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr size_t kIdLength = 26;
constexpr uint32_t kCounterEnd = 1u << 12;

absl::Status Invalid(std::string_view text, std::string_view expected) {
  return Error(
      absl::StatusCode::kInvalidArgument, "ID_INVALID",
      "'" + std::string(text.substr(0, 80)) + "' is not an id: expected " + std::string(expected));
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int HexValue(char c) {
  c = Lower(c);
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string Uuid::ToId() const {
  std::string out;
  out.reserve(kIdLength);
  // 130 bits: two zero bits, then the 128.
  uint32_t window = 0;
  int bits = 2;
  for (const uint8_t byte : bytes) {
    window = (window << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += kAlphabet[(window >> bits) & 31];
    }
  }
  return out;
}

std::string Uuid::ToUuid() const {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 15];
  }
  return out;
}

absl::Time Uuid::CreateTime() const {
  int64_t ms = 0;
  for (int i = 0; i < 6; ++i) ms = (ms << 8) | bytes[i];
  return absl::FromUnixMillis(ms);
}

absl::StatusOr<Uuid> ParseId(std::string_view id) {
  constexpr std::string_view kExpected = "26 characters of Crockford base32";
  if (id.size() != kIdLength || id[0] > '7') return Invalid(id, kExpected);
  Uuid out;
  uint32_t window = 0;
  int bits = -2;  // the first two bits are padding
  size_t next = 0;
  for (const char c : id) {
    const size_t value = kAlphabet.find(Lower(c));
    if (value == std::string_view::npos) return Invalid(id, kExpected);
    window = (window << 5) | static_cast<uint32_t>(value);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.bytes[next++] = static_cast<uint8_t>(window >> bits);
    }
  }
  return out;
}

absl::StatusOr<Uuid> ParseUuid(std::string_view text) {
  constexpr std::string_view kExpected = "a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057";
  if (text.size() != 36) return Invalid(text, kExpected);
  Uuid out;
  size_t digit = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return Invalid(text, kExpected);
      continue;
    }
    const int value = HexValue(text[i]);
    if (value < 0) return Invalid(text, kExpected);
    out.bytes[digit / 2] = static_cast<uint8_t>((out.bytes[digit / 2] << 4) | value);
    ++digit;
  }
  return out;
}

absl::StatusOr<std::string> IdToUuid(std::string_view id) {
  ASSIGN_OR_RETURN(const Uuid uuid, ParseId(id));
  return uuid.ToUuid();
}

absl::StatusOr<std::string> UuidToId(std::string_view uuid) {
  ASSIGN_OR_RETURN(const Uuid parsed, ParseUuid(uuid));
  return parsed.ToId();
}

Uuid UuidGenerator::Next() {
  Uuid out;
  random_.Fill(out.bytes);
  std::lock_guard lock(mutex_);
  const int64_t now = absl::ToUnixMillis(clock_.Now());
  if (now > last_ms_) {
    last_ms_ = now;
    counter_ =
        ((out.bytes[6] & 0x07u) << 8) | out.bytes[7];  // starts in the lower half: room to count
  } else if (++counter_ == kCounterEnd) {
    ++last_ms_;  // runs ahead of the clock rather than out of order (RFC 9562 §6.2)
    counter_ = 0;
  }
  for (int i = 0; i < 6; ++i) out.bytes[i] = static_cast<uint8_t>(last_ms_ >> (8 * (5 - i)));
  out.bytes[6] = static_cast<uint8_t>(0x70 | (counter_ >> 8));
  out.bytes[7] = static_cast<uint8_t>(counter_);
  out.bytes[8] = static_cast<uint8_t>(0x80 | (out.bytes[8] & 0x3f));
  return out;
}

}  // namespace crossover
