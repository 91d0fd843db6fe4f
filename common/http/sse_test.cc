#include "common/http/sse.h"

#include <gtest/gtest.h>

namespace crossover::http {
namespace {

std::vector<SseEvent> FeedInPieces(std::string_view text, size_t piece) {
  SseParser parser;
  std::vector<SseEvent> out;
  for (size_t i = 0; i < text.size(); i += piece) {
    for (SseEvent& event : parser.Feed(text.substr(i, piece))) out.push_back(std::move(event));
  }
  EXPECT_FALSE(parser.Incomplete());
  return out;
}

TEST(SseTest, FramesMaySplitAnywhereAndLinesEndAnyWay) {
  const std::string text =
      ": keep-alive\n\ndata: {\"a\":\"ü\"}\n\nevent: error\r\ndata:one\r\ndata: two\r\nid: "
      "7\r\n\r\ndata\r\rdata: [DONE]\n\n";
  for (size_t piece = 1; piece < 12; ++piece) {
    const auto events = FeedInPieces(text, piece);
    ASSERT_EQ(events.size(), 4u) << piece;
    EXPECT_EQ(events[0].data, "{\"a\":\"ü\"}");
    EXPECT_EQ(events[1].event, "error");
    EXPECT_EQ(events[1].data, "one\ntwo");
    EXPECT_EQ(events[1].id, "7");
    EXPECT_EQ(events[2].data, "");
    EXPECT_EQ(events[3].data, "[DONE]");
    EXPECT_EQ(events[3].event, "");
  }
}

TEST(SseTest, ACutStreamIsNoticed) {
  SseParser parser;
  EXPECT_TRUE(parser.Feed("data: half").empty());
  EXPECT_TRUE(parser.Incomplete());
  EXPECT_TRUE(parser.Feed("\n").empty());
  EXPECT_TRUE(parser.Incomplete());
  EXPECT_EQ(parser.Feed("\n").size(), 1u);
  EXPECT_FALSE(parser.Incomplete());
}

TEST(SseTest, FramesAreReadBackAsTheyWereWritten) {
  SseParser parser;
  const auto events = parser.Feed(SseFrame("a\nb", "kind") + SseFrame("c"));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].event, "kind");
  EXPECT_EQ(events[0].data, "a\nb");
  EXPECT_EQ(events[1].data, "c");
}

}  // namespace
}  // namespace crossover::http
