#include "services/evaluation/domain/coverage.h"

#include <gtest/gtest.h>

#include "common/stats/random.h"

namespace crossover::evaluation {
namespace {

std::vector<std::string> Sentences(int count, const char* alphabet, uint64_t seed) {
  stats::Random random(seed);
  std::string letters = alphabet;
  std::vector<std::string> sentences;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (int word = 0; word < 12; ++word) {
      char letter = letters[random.Below(letters.size())];
      text += std::string(4, letter) + " ";
    }
    sentences.push_back(text);
  }
  return sentences;
}

TEST(CoverageTest, InputsOfTheSameKindAreCovered) {
  auto coverage = MeasureCoverage(Sentences(600, "abcdefgh", 1), Sentences(300, "abcdefgh", 2));
  ASSERT_TRUE(coverage.has_value());
  EXPECT_GT(coverage->point, 0.9);
  EXPECT_EQ(coverage->n, 300);
}

TEST(CoverageTest, InputsOfAnotherKindAreNot) {
  auto coverage = MeasureCoverage(Sentences(600, "abcdefgh", 1), Sentences(300, "stuvwxyz", 2));
  EXPECT_LT(coverage->point, 0.05);
}

TEST(CoverageTest, TooLittleSaysNothing) {
  EXPECT_FALSE(MeasureCoverage(Sentences(19, "ab", 1), Sentences(10, "ab", 2)).has_value());
  EXPECT_FALSE(MeasureCoverage(Sentences(30, "ab", 1), {}).has_value());
}

}  // namespace
}  // namespace crossover::evaluation
