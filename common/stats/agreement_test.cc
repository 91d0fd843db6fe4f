#include "common/stats/agreement.h"

#include <gtest/gtest.h>

namespace crossover::stats {
namespace {

constexpr auto kNone = std::nullopt;

// "Computing Krippendorff's Alpha-Reliability" (2011), example C.
const std::vector<std::vector<std::optional<double>>> kKrippendorff = {
    {1, 2, 3, 3, 2, 1, 4, 1, 2, kNone, kNone, kNone},
    {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, kNone, 3},
    {kNone, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, kNone},
    {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, kNone}};

TEST(AgreementTest, KrippendorffEqualsThePublishedVectors) {
  EXPECT_NEAR(*KrippendorffAlpha(kKrippendorff, Scale::kNominal), 0.743, 5e-4);
  EXPECT_NEAR(*KrippendorffAlpha(kKrippendorff, Scale::kOrdinal), 0.815, 5e-4);
  EXPECT_NEAR(*KrippendorffAlpha(kKrippendorff, Scale::kInterval), 0.849, 5e-4);
}

TEST(AgreementTest, FleissEqualsThePublishedVector) {
  std::vector<std::vector<int>> counts = {
      {0, 0, 0, 0, 14}, {0, 2, 6, 4, 2}, {0, 0, 3, 5, 6}, {0, 3, 9, 2, 0}, {2, 2, 8, 1, 1},
      {7, 7, 0, 0, 0},  {3, 2, 6, 3, 0}, {2, 5, 3, 2, 2}, {6, 5, 2, 1, 0}, {0, 2, 2, 3, 7}};
  EXPECT_NEAR(*FleissKappa(counts), 0.210, 5e-4);
}

TEST(AgreementTest, CohenEqualsThePublishedVector) {
  EXPECT_NEAR(*CohenKappa(std::vector<std::vector<double>>{{20, 5}, {10, 15}}), 0.40, 1e-12);
}

TEST(AgreementTest, CohenOfLabelsCountsThemItself) {
  std::vector<std::string> first = {"a", "a", "b", "b"};
  std::vector<std::string> second = {"a", "b", "b", "b"};
  EXPECT_NEAR(*CohenKappa(first, second), 0.5, 1e-12);
}

TEST(AgreementTest, OneLabelThroughoutIsAgreement) {
  EXPECT_EQ(*CohenKappa(std::vector<std::string>{"a", "a"}, {"a", "a"}), 1);
  EXPECT_EQ(*KrippendorffAlpha({{1, 1}, {1, 1}}, Scale::kNominal), 1);
}

TEST(AgreementTest, TooLittleIsAnError) {
  EXPECT_FALSE(KrippendorffAlpha({{1, kNone}, {kNone, 2}}, Scale::kNominal).ok());
  EXPECT_FALSE(FleissKappa({{1, 0}, {0, 1}}).ok());
  EXPECT_FALSE(FleissKappa({{2, 0}, {0, 3}}).ok());
  EXPECT_FALSE(CohenKappa(std::vector<std::vector<double>>{{1, 2}}).ok());
  EXPECT_FALSE(CohenKappa(std::vector<std::string>{"a"}, {}).ok());
}

}  // namespace
}  // namespace crossover::stats
