#include "cli/output/format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace crossover::cli {
namespace {

std::string Unsigned(uint64_t value) {
  std::string digits = std::to_string(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<size_t>(i), ",");
  return digits;
}

using BoundFormat = std::string (*)(double);

std::string OneDecimal(double value) { return absl::StrFormat("%.1f", value * 100); }
std::string SignedDecimal(double value) { return absl::StrFormat("%+.1f", value * 100); }
std::string TwoDecimals(double value) { return absl::StrFormat("%.2f", value); }

// " [lower, upper]"; nothing for a number that came without an interval.
std::string Bounds(const type::v1::Interval& value, BoundFormat format) {
  if (value.lower() == value.upper() && value.n() == 0) return "";
  const auto one = [&](double bound) {
    if (std::isinf(bound)) return std::string(bound > 0 ? "∞" : "-∞");
    return format(bound);
  };
  return absl::StrCat(" [", one(value.lower()), ", ", one(value.upper()), "]");
}

}  // namespace

std::string Count(int64_t value) {
  return (value < 0 ? "-" : "") + Unsigned(static_cast<uint64_t>(std::llabs(value)));
}

std::string Bytes(int64_t value) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double amount = static_cast<double>(value);
  size_t unit = 0;
  while (std::abs(amount) >= 999.95 && unit + 1 < kUnits.size()) {
    amount /= 1000;
    ++unit;
  }
  return unit == 0 ? absl::StrCat(value, " B") : absl::StrFormat("%.1f %s", amount, kUnits[unit]);
}

std::string Number(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "-" : (value > 0 ? "∞" : "-∞");
  const double size = std::abs(value);
  if (size >= 999.5) return Count(std::llround(value));
  if (size == 0) return "0";
  const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(size))), 0, 8);
  std::string text = absl::StrFormat("%.*f", decimals, value);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string Share(double value) { return absl::StrFormat("%.1f %%", value * 100); }

absl::Duration ToDuration(const google::protobuf::Duration& value) {
  return absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

absl::Time ToTime(const google::protobuf::Timestamp& value) {
  return absl::FromUnixSeconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

std::string Length(absl::Duration value) {
  if (value < absl::ZeroDuration()) return "-" + Length(-value);
  const double seconds = absl::ToDoubleSeconds(value);
  if (seconds < 0.9995) return absl::StrFormat("%.0f ms", seconds * 1000);
  if (seconds < 59.95) return absl::StrFormat("%.1f s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%d h %02d min", whole / 3600, whole % 3600 / 60);
  return absl::StrFormat("%d d %d h", whole / 86400, whole % 86400 / 3600);
}

std::string Length(const google::protobuf::Duration& value) { return Length(ToDuration(value)); }

std::string Moment(const google::protobuf::Timestamp& value) {
  if (value.seconds() == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M", ToTime(value), absl::UTCTimeZone());
}

std::string Ago(const google::protobuf::Timestamp& value, absl::Time now) {
  if (value.seconds() == 0) return "";
  const absl::Duration past = now - ToTime(value);
  const absl::Duration size = past < absl::ZeroDuration() ? -past : past;
  if (size < absl::Seconds(5)) return "just now";
  std::string text;
  if (size < absl::Minutes(1)) {
    text = absl::StrCat(absl::ToInt64Seconds(size), " s");
  } else if (size < absl::Hours(1)) {
    text = absl::StrCat(absl::ToInt64Minutes(size), " min");
  } else if (size < absl::Hours(48)) {
    text = absl::StrCat(absl::ToInt64Hours(size), " h");
  } else {
    return absl::FormatTime("%Y-%m-%d", ToTime(value), absl::UTCTimeZone());
  }
  return past < absl::ZeroDuration() ? "in " + text : text + " ago";
}

std::string Amount(const google::type::Money& value) {
  if (value.currency_code().empty()) return "";
  const double amount = static_cast<double>(value.units()) + value.nanos() * 1e-9;
  const std::string number = std::abs(amount) >= 1 && std::abs(amount) < 999.5
                                 ? absl::StrFormat("%.2f", amount)
                                 : Number(amount);
  return absl::StrCat(number, " ", value.currency_code());
}

std::string ShareInterval(const type::v1::Interval& value) {
  return Share(value.point()) + Bounds(value, OneDecimal);
}

std::string PointsInterval(const type::v1::Interval& value) {
  return absl::StrFormat("%+.1f points", value.point() * 100) + Bounds(value, SignedDecimal);
}

std::string NumberInterval(const type::v1::Interval& value) {
  return Number(value.point()) + Bounds(value, [](double bound) { return Number(bound); });
}

std::string SecondsInterval(const type::v1::Interval& value) {
  return absl::StrFormat("%.2f s", value.point()) + Bounds(value, TwoDecimals);
}

std::string ShortDigest(std::string_view digest) {
  constexpr std::string_view kPrefix = "sha256:";
  if (digest.substr(0, kPrefix.size()) != kPrefix) return std::string(digest);
  return std::string(digest.substr(0, kPrefix.size() + 12));
}

std::string ShortName(std::string_view name) {
  const size_t slash = name.rfind('/');
  return ShortDigest(slash == std::string_view::npos ? name : name.substr(slash + 1));
}

std::string EnumWord(std::string_view name) {
  std::string word(name);
  for (char& c : word)
    c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

}  // namespace crossover::cli
