#include "services/shadow_router/upstream/http_upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/testing/fake_upstream.h"
#include "common/time/clock.h"

namespace crossover::router {
namespace {

class HttpUpstreamTest : public ::testing::Test {
 protected:
  UpstreamCall Call(absl::Duration timeout = absl::Seconds(30)) {
    UpstreamCall call;
    call.target = {
        .name = "fake", .base_url = server_.base_url(), .api_key = "sk-ours", .timeout = timeout};
    call.body = R"({"model":"m","messages":[{"role":"user","content":"q"}]})";
    call.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    return call;
  }
  testing::FakeUpstream server_;
  HttpUpstream upstream_{{}, SystemClock()};
};

TEST_F(HttpUpstreamTest, ReadsAnAnswerAndSendsOurKeyAndTrace) {
  const Answer answer = upstream_.Call(Call());
  EXPECT_EQ(answer.status, CallStatus::kOk) << answer.error;
  EXPECT_EQ(answer.content, "hello");
  EXPECT_EQ(answer.usage.output, 2);
  EXPECT_EQ(answer.system_fingerprint, "fp_fake");
  EXPECT_GT(answer.latency, absl::ZeroDuration());
  const http::Request request = server_.Requests().at(0);
  EXPECT_EQ(request.headers.Get("authorization"), "Bearer sk-ours");
  EXPECT_EQ(request.headers.Get("traceparent"), Call().traceparent);
}

TEST_F(HttpUpstreamTest, SaysHowACallFailed) {
  server_.SetReply({.status = 500, .content = "broken"});
  const Answer failed = upstream_.Call(Call());
  EXPECT_EQ(failed.status, CallStatus::kHttpError);
  EXPECT_EQ(failed.http_status, 500);
  server_.SetReply({.raw_body = "not a completion"});
  EXPECT_EQ(upstream_.Call(Call()).status, CallStatus::kBroken);
  server_.SetReply({.raw_body = std::string(5 << 20, 'x')});
  EXPECT_EQ(upstream_.Call(Call()).status, CallStatus::kTooLarge);
  server_.SetReply({.stall = true});
  EXPECT_EQ(upstream_.Call(Call(absl::Milliseconds(100))).status, CallStatus::kTimeout);
  server_.Stop();
  EXPECT_EQ(upstream_.Call(Call()).status, CallStatus::kConnectFailed);
}

TEST_F(HttpUpstreamTest, ShuttingDownEndsACallThatHangs) {
  server_.SetReply({.stall = true});
  Answer answer;
  std::thread caller([&] { answer = upstream_.Call(Call()); });
  ASSERT_TRUE(server_.WaitForRequests(1));
  upstream_.Shutdown();
  caller.join();
  EXPECT_EQ(answer.status, CallStatus::kCancelled);
  EXPECT_EQ(upstream_.Call(Call()).status, CallStatus::kCancelled);
}

}  // namespace
}  // namespace crossover::router
