#include "llm/formats/permute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace crossover::llm {
namespace {

using ::testing::ElementsAre;

TEST(PermuteTest, InterleavesTheHalvesOfEachHead) {
  // Two heads of four rows with one value: rows j and j + 2 become neighbours.
  const std::vector<float> hf = {0, 1, 2, 3, 10, 11, 12, 13};
  std::vector<float> gguf(8);
  ASSERT_TRUE(
      PermuteHfToGguf(std::as_bytes(std::span(hf)), std::as_writable_bytes(std::span(gguf)), 2, 4)
          .ok());
  EXPECT_THAT(gguf, ElementsAre(0, 2, 1, 3, 10, 12, 11, 13));
}

TEST(PermuteTest, BackAndForthIsTheIdentity) {
  std::vector<float> hf(3 * 64 * 5);
  for (size_t i = 0; i < hf.size(); ++i) hf[i] = static_cast<float>(i);
  std::vector<float> gguf(hf.size()), back(hf.size());
  ASSERT_TRUE(
      PermuteHfToGguf(std::as_bytes(std::span(hf)), std::as_writable_bytes(std::span(gguf)), 3, 64)
          .ok());
  ASSERT_TRUE(PermuteGgufToHf(std::as_bytes(std::span(gguf)),
                              std::as_writable_bytes(std::span(back)), 3, 64)
                  .ok());
  EXPECT_NE(hf, gguf);
  EXPECT_EQ(hf, back);
}

TEST(PermuteTest, RefusesSizesThatDoNotDivide) {
  std::vector<std::byte> in(10), out(10);
  EXPECT_FALSE(PermuteHfToGguf(in, out, 1, 4).ok());
  EXPECT_FALSE(PermuteHfToGguf(in, out, 2, 5).ok());
  out.resize(8);
  EXPECT_FALSE(PermuteGgufToHf(in, out, 1, 2).ok());
}

}  // namespace
}  // namespace crossover::llm
