// UUIDv7 ids (RFC 9562 §5.7): 48 bits of Unix milliseconds, a monotonic counter, random bits.
//
// Outside they are 26 characters of lower-case Crockford base32 (`06bq3…`), in Postgres a `uuid`;
// both sort by creation.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/random.h"
#include "common/time/clock.h"

namespace crossover {

// A value of 128 bits, big-endian.
struct Uuid {
  std::array<uint8_t, 16> bytes{};

  // 26 characters of lower-case Crockford base32 (the first holds the top 3 bits).
  std::string ToId() const;
  // The hyphenated form that Postgres reads and prints.
  std::string ToUuid() const;
  // The millisecond it was made in.
  absl::Time CreateTime() const;

  auto operator<=>(const Uuid&) const = default;
};

// INVALID_ARGUMENT `ID_INVALID` unless `id` is exactly 26 characters of the alphabet below 2^128.
// Upper case is accepted.
absl::StatusOr<Uuid> ParseId(std::string_view id);
// INVALID_ARGUMENT `ID_INVALID` unless `text` is the hyphenated form.
absl::StatusOr<Uuid> ParseUuid(std::string_view text);

// Both at once, for SQL that takes or returns text: id -> hyphenated (empty StatusOr error as
// above), hyphenated -> id.
absl::StatusOr<std::string> IdToUuid(std::string_view id);
absl::StatusOr<std::string> UuidToId(std::string_view uuid);

// Thread-safe. Borrows clock and random. Ids of one generator strictly increase, also within a
// millisecond and when the wall clock steps back.
class UuidGenerator {
 public:
  UuidGenerator(Clock& clock, RandomSource& random) : clock_(clock), random_(random) {}

  Uuid Next();
  std::string NextId() { return Next().ToId(); }

 private:
  Clock& clock_;
  RandomSource& random_;
  std::mutex mutex_;
  int64_t last_ms_ = 0;
  uint32_t counter_ = 0;
};

}  // namespace crossover
