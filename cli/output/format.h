// Numbers, times and names as people read them. Free of locale: the same text everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "crossover/type/v1/statistics.pb.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/type/money.pb.h"

namespace crossover::cli {

// 1234567 → "1,234,567".
std::string Count(int64_t value);
// 95123456 → "95.1 MB" (powers of 1000).
std::string Bytes(int64_t value);
// Three significant digits: 0.0241 → "0.0241", 1234.5 → "1,235".
std::string Number(double value);
// 0.612 → "61.2 %".
std::string Share(double value);

absl::Duration ToDuration(const google::protobuf::Duration& value);
absl::Time ToTime(const google::protobuf::Timestamp& value);
// "850 ms", "2.8 s", "3 min 20 s", "1 h 02 min", "6 d 4 h".
std::string Length(absl::Duration value);
std::string Length(const google::protobuf::Duration& value);
// "2026-11-22 09:15" in UTC; empty for an unset time.
std::string Moment(const google::protobuf::Timestamp& value);
// "just now", "3 min ago", "2 h ago", else the day; "in 5 min" for the future. Empty for an unset
// time.
std::string Ago(const google::protobuf::Timestamp& value, absl::Time now);

// "0.024 USD"; empty for an unset amount.
std::string Amount(const google::type::Money& value);

// A share with its interval: "59.1 % [53.4, 64.6]".
std::string ShareInterval(const type::v1::Interval& value);
// A difference of shares: "+52.3 points [46.0, 58.2]".
std::string PointsInterval(const type::v1::Interval& value);
// Any other number with its interval: "0.91 [0.85, 0.99]".
std::string NumberInterval(const type::v1::Interval& value);
// Seconds with their interval: "0.91 s [0.85, 0.99]".
std::string SecondsInterval(const type::v1::Interval& value);

// The last part of a resource name, digests cut to twelve hexadecimal digits:
// "sha256:48c2d861134c".
std::string ShortName(std::string_view name);
std::string ShortDigest(std::string_view digest);

// "FINE_TUNE" → "fine-tune".
std::string EnumWord(std::string_view name);

}  // namespace crossover::cli
