#include "cli/output/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace crossover::cli {
namespace {

type::v1::Interval Interval(double point, double lower, double upper) {
  type::v1::Interval interval;
  interval.set_point(point);
  interval.set_lower(lower);
  interval.set_upper(upper);
  interval.set_n(100);
  return interval;
}

TEST(FormatTest, CountsHaveSeparators) {
  EXPECT_EQ(Count(0), "0");
  EXPECT_EQ(Count(999), "999");
  EXPECT_EQ(Count(1234567), "1,234,567");
  EXPECT_EQ(Count(-1234), "-1,234");
}

TEST(FormatTest, NumbersHaveThreeSignificantDigits) {
  EXPECT_EQ(Number(0), "0");
  EXPECT_EQ(Number(0.0008), "0.0008");
  EXPECT_EQ(Number(0.02414), "0.0241");
  EXPECT_EQ(Number(1.5), "1.5");
  EXPECT_EQ(Number(512.3), "512");
  EXPECT_EQ(Number(1234.5), "1,235");
  EXPECT_EQ(Number(std::numeric_limits<double>::infinity()), "∞");
  EXPECT_EQ(Number(std::numeric_limits<double>::quiet_NaN()), "-");
}

TEST(FormatTest, BytesAreInPowersOfAThousand) {
  EXPECT_EQ(Bytes(999), "999 B");
  EXPECT_EQ(Bytes(95123456), "95.1 MB");
  EXPECT_EQ(Bytes(999999), "1.0 MB");
}

TEST(FormatTest, LengthsChangeUnitsWithSize) {
  EXPECT_EQ(Length(absl::Milliseconds(850)), "850 ms");
  EXPECT_EQ(Length(absl::Seconds(2.8)), "2.8 s");
  EXPECT_EQ(Length(absl::Seconds(59.99)), "1 min 00 s");
  EXPECT_EQ(Length(absl::Seconds(200)), "3 min 20 s");
  EXPECT_EQ(Length(absl::Minutes(62)), "1 h 02 min");
  EXPECT_EQ(Length(absl::Hours(148)), "6 d 4 h");
}

TEST(FormatTest, TimesAreToldFromNow) {
  google::protobuf::Timestamp time;
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(Ago(time, now), "");
  time.set_seconds(1'800'000'000 - 3);
  EXPECT_EQ(Ago(time, now), "just now");
  time.set_seconds(1'800'000'000 - 7200);
  EXPECT_EQ(Ago(time, now), "2 h ago");
  time.set_seconds(1'800'000'000 + 300);
  EXPECT_EQ(Ago(time, now), "in 5 min");
  time.set_seconds(1'800'000'000 - 864000);
  EXPECT_EQ(Ago(time, now), "2027-01-05");
}

TEST(FormatTest, NoNumberTravelsWithoutItsInterval) {
  EXPECT_EQ(ShareInterval(Interval(0.591, 0.534, 0.646)), "59.1 % [53.4, 64.6]");
  EXPECT_EQ(PointsInterval(Interval(0.523, 0.46, 0.582)), "+52.3 points [+46.0, +58.2]");
  EXPECT_EQ(NumberInterval(Interval(1.2, 0.8, std::numeric_limits<double>::infinity())),
            "1.2 [0.8, ∞]");
  EXPECT_EQ(SecondsInterval(Interval(0.912, 0.85, 0.99)), "0.91 s [0.85, 0.99]");
}

TEST(FormatTest, MoneyShowsWhatMatters) {
  google::type::Money money;
  EXPECT_EQ(Amount(money), "");
  money.set_currency_code("USD");
  money.set_nanos(24'000'000);
  EXPECT_EQ(Amount(money), "0.024 USD");
  money.set_units(2160);
  money.set_nanos(0);
  EXPECT_EQ(Amount(money), "2,160 USD");
  money.set_units(16);
  money.set_nanos(500'000'000);
  EXPECT_EQ(Amount(money), "16.50 USD");
}

TEST(FormatTest, NamesAndDigestsAreShort) {
  EXPECT_EQ(ShortName("projects/default/jobs/06bq3"), "06bq3");
  EXPECT_EQ(ShortName("projects/p/datasets/d/versions/sha256:0123456789abcdef0123"),
            "sha256:0123456789ab");
  EXPECT_EQ(EnumWord("FINE_TUNE"), "fine-tune");
}

}  // namespace
}  // namespace crossover::cli
