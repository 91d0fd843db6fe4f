#include "llm/tokenizer/utf8.h"

#include <gtest/gtest.h>

namespace crossover::llm {
namespace {

constexpr char kR[] = "\xef\xbf\xbd";

// Expected values are Rust's String::from_utf8_lossy and Python's bytes.decode("utf-8", "replace"),
// which agree.
TEST(Utf8Test, WrongBytesBecomeReplacementCharactersBySubparts) {
  const std::string r = kR;
  EXPECT_EQ(ToValidUtf8("a\xff"
                        "b"),
            "a" + r + "b");
  EXPECT_EQ(ToValidUtf8("\xf0\x9f\x98"), r);
  EXPECT_EQ(ToValidUtf8("\xf0\x9f\x98z"), r + "z");
  EXPECT_EQ(ToValidUtf8("\xe2\x28\xa1"), r + "(" + r);
  EXPECT_EQ(ToValidUtf8("\xed\xa0\x80"), r + r + r);          // surrogate
  EXPECT_EQ(ToValidUtf8("\xc0\x80"), r + r);                  // overlong
  EXPECT_EQ(ToValidUtf8("\xf4\x90\x80\x80"), r + r + r + r);  // over U+10FFFF
  EXPECT_EQ(ToValidUtf8("grüße 😀"), "grüße 😀");
}

TEST(Utf8Test, ValidityAgreesWithRepair) {
  EXPECT_TRUE(IsValidUtf8("日本語 \xf0\x9f\x98\x80"));
  EXPECT_FALSE(IsValidUtf8("\xe6\x97"));
  EXPECT_TRUE(IsValidUtf8(""));
}

TEST(Utf8Test, IncompleteCharacterWaits) {
  std::string pending = "a\xf0\x9f", out;
  TakeWholeCharacters(pending, out);
  EXPECT_EQ(out, "a");
  EXPECT_EQ(pending, "\xf0\x9f");
  pending += "\x98\x80!";
  TakeWholeCharacters(pending, out);
  EXPECT_EQ(out, "a😀!");
  EXPECT_TRUE(pending.empty());
}

TEST(Utf8Test, EveryCharacterIsEncodedAsItIsRead) {
  for (char32_t c : {U'\0', U'a', U'\x7f', U'\x80', U'\u07ff', U'\u0800', U'\uffff', U'\U00010000',
                     U'\U0010ffff'}) {
    std::string text;
    AppendUtf8(c, text);
    EXPECT_EQ(NextUtf8(text).bytes, text.size());
    EXPECT_TRUE(IsValidUtf8(text));
  }
}

}  // namespace
}  // namespace crossover::llm
