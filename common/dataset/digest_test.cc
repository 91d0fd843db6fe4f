#include "common/dataset/digest.h"

#include <gtest/gtest.h>

#include "common/dataset/leaf.h"
#include "common/dataset/row_json.h"
#include "common/json/digest.h"

namespace crossover::dataset {
namespace {

Row RowOf(std::string_view json) {
  auto parsed = ParseRow(json);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? parsed->row : Row();
}

TEST(DigestTest, IsSha256OfTheCanonicalIdentity) {
  const Row row = RowOf(R"({"completion":"b","prompt":"a"})");
  EXPECT_EQ(
      *RowDigest(row),
      DigestOf(
          R"({"messages":[{"content":"a","role":"user"},{"content":"b","role":"assistant"}]})"));
  EXPECT_EQ(*InputDigest(row), DigestOf(R"({"messages":[{"content":"a","role":"user"}]})"));
}

TEST(DigestTest, IgnoresWeightsOriginAndOrderOfKeys) {
  const Row plain =
      RowOf(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  const Row dressed = RowOf(
      R"({"split":"test","weight":3,"group":"g","origin":{"kind":"TEACHER"},
          "messages":[{"content":"a","role":"user"},{"weight":0.5,"content":"b","role":"assistant"}]})");
  EXPECT_EQ(*RowDigest(plain), *RowDigest(dressed));
}

TEST(DigestTest, AnswersThatDifferShareTheInputDigest) {
  const Row yes = RowOf(R"({"prompt":"a","completion":"yes"})");
  const Row no = RowOf(R"({"prompt":"a","completion":"no"})");
  EXPECT_EQ(*InputDigest(yes), *InputDigest(no));
  EXPECT_NE(*RowDigest(yes), *RowDigest(no));
}

TEST(LeafTest, HasOneByteForm) {
  Row row = RowOf(R"({"prompt":"a","completion":"b","group":"src"})");
  row.split = "train";
  row.cluster = "9";
  EXPECT_EQ(
      *LeafBytes(row),
      R"({"cluster":"9","group":{"source":"src"},"row":{"messages":[{"content":"a","role":"user"},)"
      R"({"content":"b","role":"assistant"}]},"split":"train","weight":1})");
}

TEST(LeafTest, KeepsWeightsOfMessages) {
  Row row = RowOf(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"x","weight":0},
          {"role":"user","content":"b"},{"role":"assistant","content":"y"}],"weight":2})");
  row.split = "validation";
  const auto back = ParseLeaf(*LeafBytes(row));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(LossWeight(*back, 0), 0);
  EXPECT_EQ(LossWeight(*back, 1), 0);
  EXPECT_EQ(LossWeight(*back, 3), 1);
  EXPECT_EQ(back->weight, 2);
  EXPECT_EQ(*RowDigest(*back), *RowDigest(row));
}

TEST(LeafTest, RefusesARowWithoutSplit) {
  EXPECT_FALSE(LeafBytes(RowOf(R"({"prompt":"a","completion":"b"})")).ok());
}

}  // namespace
}  // namespace crossover::dataset
