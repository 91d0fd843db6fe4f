#include "llm/generate/text_stream.h"

#include <gtest/gtest.h>

namespace crossover::llm {
namespace {

TEST(TextStreamTest, CharactersComeWhole) {
  TextStream stream({});
  EXPECT_EQ(stream.Push("a\xe2\x82"), "a");
  EXPECT_EQ(stream.Push("\xac!"), "\xe2\x82\xac!");
  EXPECT_EQ(stream.Push("\xf0\x9f"), "");
  EXPECT_EQ(stream.Flush(), "\xef\xbf\xbd");
}

TEST(TextStreamTest, BytesThatAreNoTextBecomeReplacementCharacters) {
  TextStream stream({});
  EXPECT_EQ(stream.Push("x\xff\xfey"), "x\xef\xbf\xbd\xef\xbf\xbdy");
}

TEST(TextStreamTest, NothingOfAStopStringIsShown) {
  TextStream stream({"END", "\n\n"});
  EXPECT_EQ(stream.Push("one E"), "one ");
  EXPECT_EQ(stream.Push("N"), "");
  EXPECT_EQ(stream.Push("T\n"), "ENT");
  EXPECT_FALSE(stream.stopped());
  EXPECT_EQ(stream.Push("two EN"), "\ntwo ");
  EXPECT_EQ(stream.Push("D three"), "");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.Push("more"), "");
  EXPECT_EQ(stream.Flush(), "");
}

TEST(TextStreamTest, HeldBackBeginningComesAtTheEnd) {
  TextStream stream({"END"});
  EXPECT_EQ(stream.Push("xEN"), "x");
  EXPECT_EQ(stream.Flush(), "EN");
}

TEST(TextStreamTest, EarliestStopWins) {
  TextStream stream({"bc", "abcd"});
  EXPECT_EQ(stream.Push("xabcd"), "x");
  EXPECT_TRUE(stream.stopped());
}

}  // namespace
}  // namespace crossover::llm
