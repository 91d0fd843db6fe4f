#include "services/data_curation/domain/similarity.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "services/data_curation/domain/text.h"

namespace crossover::curation {
namespace {

TEST(TextTest, NormalisesCaseWidthAndPunctuation) {
  EXPECT_EQ(Normalise("Straße ＡＢＣ ﬁ"), "strasse abc fi");
  EXPECT_EQ(JoinWords(Words(Normalise("Hello,  World!\n(3rd_time) – ÉTÉ"))),
            "hello world 3rd_time été");
  EXPECT_TRUE(Words(" … !?").empty());
}

TEST(ShingleTest, CharacterShinglesCountCodePointsAndBothEnds) {
  // " é " and its neighbours: " aé", "aé ".
  EXPECT_EQ(CharShingles("aé", 3).size(), 2u);
  EXPECT_EQ(CharShingles("", 3).size(), 0u);
  EXPECT_DOUBLE_EQ(Jaccard(CharShingles("abc", 3), CharShingles("abd", 3)), 1.0 / 5);  // " ab" of 5
}

TEST(ShingleTest, AShortTextIsOneShingle) { EXPECT_EQ(WordShingles("two words", 5).size(), 1u); }

TEST(JaccardTest, IsTheShareOfCommonElements) {
  EXPECT_DOUBLE_EQ(Jaccard({1, 2, 3}, {2, 3, 4}), 0.5);
  EXPECT_DOUBLE_EQ(Jaccard({}, {}), 1);
  EXPECT_DOUBLE_EQ(Jaccard({1}, {}), 0);
}

TEST(MinHashTest, AgreementEstimatesJaccard) {
  std::mt19937_64 random(7);
  const MinHasher hasher;
  for (const int common : {20, 50, 80, 95}) {
    double sum = 0;
    for (int trial = 0; trial < 50; ++trial) {
      ShingleSet a;
      ShingleSet b;
      for (int i = 0; i < common; ++i) a.push_back(random());
      b = a;
      for (int i = common; i < 100; ++i) (i % 2 == 0 ? a : b).push_back(random());
      const Signature left = hasher.Sign(a);
      const Signature right = hasher.Sign(b);
      for (int i = 0; i < kPermutations; ++i) sum += left[i] == right[i];
    }
    // Standard error of 50 x 128 draws is at most .0063; five of them.
    EXPECT_NEAR(sum / (50 * kPermutations), common / 100.0, 0.032);
  }
}

std::vector<std::string> RandomWords(std::mt19937_64& random, int count) {
  std::vector<std::string> words;
  for (int i = 0; i < count; ++i) words.push_back(absl::StrCat("w", random() % 5000));
  return words;
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + " ";
  return text;
}

// Pairs at a Jaccard similarity of .8 or a little more: the hardest that must be found.
TEST(SimilarityIndexTest, FindsAtLeast95PercentOfThePairsAtTheThreshold) {
  std::mt19937_64 random(11);
  std::vector<std::string> texts;
  SimilarityIndex index({}, [&texts](int64_t id) { return texts[id]; });
  int wanted = 0;
  int found = 0;
  for (int64_t pair = 0; pair < 400; ++pair) {
    std::vector<std::string> words = RandomWords(random, 100);
    texts.push_back(Join(words));
    index.Keep(pair, index.Prepare(texts.back()));
    words[10] = "changed";
    words[60] = "changed";  // each costs 5 of 96 shingles: .81
    const std::string other = Join(words);
    const double similarity =
        Jaccard(WordShingles(Normalise(texts.back()), 5), WordShingles(Normalise(other), 5));
    ASSERT_GE(similarity, 0.8);
    ++wanted;
    const auto matches = index.Find(index.Prepare(other));
    found += matches.size() == 1 && matches[0].id == pair;
    if (!matches.empty()) {
      EXPECT_DOUBLE_EQ(matches[0].similarity, similarity);
    }
  }
  EXPECT_GE(found, wanted * 0.95);
}

TEST(SimilarityIndexTest, ReportsNothingBelowTheThreshold) {
  std::mt19937_64 random(13);
  std::vector<std::string> texts;
  SimilarityIndex index({}, [&texts](int64_t id) { return texts[id]; });
  for (int64_t i = 0; i < 300; ++i) {
    std::vector<std::string> words = RandomWords(random, 60);
    texts.push_back(Join(words));
    index.Keep(i, index.Prepare(texts.back()));
    for (int change = 0; change < 60; change += 15) words[change] = "changed";
    for (const auto& match : index.Find(index.Prepare(Join(words))))
      EXPECT_GE(match.similarity, 0.8);
  }
}

TEST(SimilarityIndexTest, ComparesTextsOnBothSidesOfTheBorderBetweenKinds) {
  std::string nineteen;
  for (int i = 0; i < 19; ++i) absl::StrAppend(&nineteen, "word", i, "longer ");
  const std::string twenty = nineteen + "x";
  SimilarityIndex index({}, [&](int64_t) { return nineteen; });
  index.Keep(0, index.Prepare(nineteen));
  EXPECT_EQ(index.Find(index.Prepare(twenty)).size(), 1u);
}

TEST(SimilarityIndexTest, ShortTextsMatchWhenOnlyPunctuationDiffers) {
  SimilarityIndex index({}, [](int64_t) { return std::string("Is my card here?"); });
  index.Keep(0, index.Prepare("Is my card here?"));
  EXPECT_EQ(index.Find(index.Prepare("is my CARD here")).size(), 1u);
  EXPECT_TRUE(index.Find(index.Prepare("Where do you come from")).empty());
}

}  // namespace
}  // namespace crossover::curation
