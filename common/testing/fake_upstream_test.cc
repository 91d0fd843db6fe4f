#include "common/testing/fake_upstream.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "common/http/client.h"
#include "common/http/sse.h"
#include "common/testing/matchers.h"

namespace crossover::testing {
namespace {

class FakeUpstreamTest : public ::testing::Test {
 protected:
  absl::StatusOr<http::ClientResponse> Chat(const nlohmann::json& body,
                                            absl::Duration timeout = absl::Seconds(20)) {
    return client_.Send({.method = "POST",
                         .url = upstream_.base_url() + "/chat/completions",
                         .body = body.dump(),
                         .timeout = timeout});
  }

  FakeUpstream upstream_;
  http::Client client_;
};

TEST_F(FakeUpstreamTest, AnswersACompletionAndKeepsTheRequest) {
  upstream_.SetReply({.content = "Grüße"});
  ASSERT_OK_AND_ASSIGN(const http::ClientResponse response, Chat({{"model", "m"}}));
  const nlohmann::json body = nlohmann::json::parse(response.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "Grüße");
  EXPECT_EQ(body["model"], "m");
  ASSERT_EQ(upstream_.Requests().size(), 1u);
  EXPECT_EQ(upstream_.Requests()[0].body, R"({"model":"m"})");
}

TEST_F(FakeUpstreamTest, StreamsTheSameTextInPieces) {
  upstream_.SetReply({.content = "Grüße aus Köln"});
  ASSERT_OK_AND_ASSIGN(
      const http::ClientResponse response,
      Chat({{"model", "m"}, {"stream", true}, {"stream_options", {{"include_usage", true}}}}));
  http::SseParser parser;
  const auto events = parser.Feed(response.body);
  std::string text;
  bool usage = false;
  for (const auto& event : events) {
    if (event.data == "[DONE]") continue;
    const nlohmann::json chunk = nlohmann::json::parse(event.data);
    usage = usage || chunk.contains("usage");
    for (const auto& choice : chunk["choices"]) text += choice["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Grüße aus Köln");
  EXPECT_TRUE(usage);
  EXPECT_EQ(events.back().data, "[DONE]");
}

TEST_F(FakeUpstreamTest, FaultsCanBeAskedFor) {
  upstream_.SetReply({.status = 429, .content = "slow down", .headers = {{"Retry-After", "3"}}});
  ASSERT_OK_AND_ASSIGN(const http::ClientResponse limited, Chat({}));
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.headers.Get("retry-after"), "3");
  upstream_.SetReply({.content = "a long answer", .cut_after_pieces = 1});
  EXPECT_FALSE(Chat({{"stream", true}}).ok());
  upstream_.SetReply({.stall = true});
  EXPECT_THAT(Chat({}, absl::Milliseconds(50)).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(upstream_.WaitForDisconnects(1));
}

TEST_F(FakeUpstreamTest, AStalledCallGoesOnWhenReleased) {
  upstream_.SetReply({.stall = true});
  std::thread caller([&] { EXPECT_OK(Chat({})); });
  ASSERT_TRUE(upstream_.WaitForRequests(1));
  upstream_.Release();
  caller.join();
}

TEST_F(FakeUpstreamTest, StoppedMeansRefused) {
  upstream_.Stop();
  EXPECT_THAT(Chat({}).status(), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace crossover::testing
