#include "common/http/client.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/context/request_context.h"
#include "common/http/async.h"
#include "common/http/server.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"

namespace crossover::http {
namespace {

namespace asio = ::boost::asio;
using ::testing::HasSubstr;

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Handle("GET", "/hello", [](const Request&) { return Response::Text(200, "hello"); });
    server_.Handle("GET", "/trace", [](const Request& request) {
      return Response::Text(200, std::string(request.headers.Get("traceparent").value_or("")));
    });
    server_.Handle("POST", "/echo",
                   [](const Request& request) { return Response::Text(200, request.body); });
    server_.HandleStream("GET", "/stall", [this](Exchange& exchange) {
      exchange.OnDisconnect([this] { gone_.Notify(); });
      gone_.WaitForNotificationWithTimeout(absl::Seconds(20));
    });
    server_.HandleStream("GET", "/half", [this](Exchange& exchange) {
      exchange.OnDisconnect([this] { gone_.Notify(); });
      exchange.Start(200, {}).IgnoreError();
      exchange.Write("half").IgnoreError();
      gone_.WaitForNotificationWithTimeout(absl::Seconds(20));
    });
    ASSERT_OK(server_.Start());
  }
  std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(server_.port()) + path;
  }

  FakeLogger logger_;
  absl::Notification gone_;
  Server server_{{}, logger_};
  Client client_;
};

TEST_F(ClientTest, ConnectsOnlyWhereItMay) {
  std::vector<std::string> asked;
  Client guarded({.may_connect = [&](const std::string& address) {
    asked.push_back(address);
    return false;
  }});
  const absl::Status refused = guarded.Send({.url = Url("/hello")}).status();
  EXPECT_THAT(refused, HasReasonThat("ADDRESS_REFUSED"));
  EXPECT_EQ(asked, std::vector<std::string>{"127.0.0.1"});
  EXPECT_EQ(server_.connections(), 0);
  const std::string named = "http://localhost:" + std::to_string(server_.port()) + "/hello";
  EXPECT_THAT(guarded.Send({.url = named}).status(), HasReasonThat("ADDRESS_REFUSED"));
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(ClientTest, ReusesItsConnections) {
  for (int i = 0; i < 20; ++i) EXPECT_OK(client_.Send({.url = Url("/hello")}));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(ClientTest, AServerThatRestartedOnTheSamePortIsNoProblem) {
  EXPECT_OK(client_.Send({.method = "POST", .url = Url("/echo"), .body = "1"}));
  const int port = server_.port();
  server_.Stop();
  Server again({.port = port}, logger_);
  again.Handle("POST", "/echo",
               [](const Request& request) { return Response::Text(200, request.body); });
  ASSERT_OK(again.Start());
  EXPECT_OK(client_.Send({.method = "POST", .url = Url("/echo"), .body = "2"}));
}

// Whether the stream ended on its own thread is ThreadSanitizer's to say.
TEST_F(ClientTest, ACallbackThatThrowsEndsTheCallAndNothingElse) {
  struct Thrown {};
  const auto take = [](const ClientResponse&) { return true; };
  const auto fail = [](std::string_view) -> bool { throw Thrown(); };
  EXPECT_THROW((void)client_.Stream({.url = Url("/half")}, take, fail), Thrown);
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_OK(client_.Send({.url = Url("/hello")}));
}

TEST_F(ClientTest, NobodyThereIsUnavailableAndNothingWasSent) {
  const absl::Status status = client_.Send({.url = "http://127.0.0.1:1/"}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("127.0.0.1:1")));
  EXPECT_EQ(DetailOf(status).metadata.at("sent"), "false");
  EXPECT_THAT(client_.Send({.url = "http://no-such-host.invalid/"}).status(),
              HasReasonThat("CONNECT_FAILED"));
  EXPECT_THAT(client_.Send({.url = "nonsense"}).status(), HasReasonThat("URL_INVALID"));
}

TEST_F(ClientTest, ATimeoutEndsTheCallAndTheServerNotices) {
  EXPECT_THAT(client_.Send({.url = Url("/stall"), .timeout = absl::Milliseconds(50)}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ClientTest, AStalledBodyTimesOutBetweenReads) {
  EXPECT_THAT(client_.Send({.url = Url("/half"), .read_timeout = absl::Milliseconds(50)}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ClientTest, TheCallerMayStopInTheMiddle) {
  EXPECT_THAT(client_.Stream(
                  {.url = Url("/half")}, [](const ClientResponse&) { return true; },
                  [](std::string_view) { return false; }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ClientTest, DeadlineAndTraceOfTheRequestInProgressGoAlong) {
  constexpr char kTrace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  {
    ScopedContext scope(RequestContext{.traceparent = kTrace});
    ASSERT_OK_AND_ASSIGN(const ClientResponse response, client_.Send({.url = Url("/trace")}));
    EXPECT_EQ(response.body, kTrace);
  }
  ScopedContext scope(
      RequestContext{.deadline = SystemClock().SteadyNow() + absl::Milliseconds(100)});
  EXPECT_THAT(client_.Send({.url = Url("/stall")}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ClientTest, AnAnswerThatIsTooLargeIsRefused) {
  Client small({.max_body_bytes = 10});
  EXPECT_THAT(
      small.Send({.method = "POST", .url = Url("/echo"), .body = std::string(11, 'x')}).status(),
      HasReasonThat("BODY_TOO_LARGE"));
}

TEST_F(ClientTest, TlsToAPlainServerFailsWithAReason) {
  const absl::Status status =
      client_.Send({.url = "https://127.0.0.1:" + std::to_string(server_.port()) + "/"}).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("TLS")));
}

TEST_F(ClientTest, ACancelledTokenEndsACallThatWaitsForItsFirstByte) {
  asio::io_context context;
  AsyncClient client;
  CancelToken cancel;
  absl::Status status;
  auto call = [&]() -> Task<void> {
    ClientRequest request{.url = Url("/stall")};
    auto result = co_await client.Send(std::move(request), cancel);
    status = result.status();
  };
  auto canceller = [&]() -> Task<void> {
    asio::steady_timer timer(context, std::chrono::milliseconds(50));
    co_await timer.async_wait(asio::use_awaitable);
    cancel.Cancel();
  };
  asio::co_spawn(context, call(), asio::detached);
  asio::co_spawn(context, canceller(), asio::detached);
  context.run();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ClientTest, CoroutinesOfOneThreadShareThePool) {
  asio::io_context context;
  AsyncClient client;
  int ok = 0;
  auto worker = [&]() -> Task<void> {
    for (int i = 0; i < 25; ++i) {
      ClientRequest request{.url = Url("/hello")};
      auto response = co_await client.Send(std::move(request));
      if (response.ok() && response->body == "hello") ++ok;
    }
  };
  for (int i = 0; i < 4; ++i) asio::co_spawn(context, worker(), asio::detached);
  context.run();
  EXPECT_EQ(ok, 100);
  EXPECT_LE(server_.connections(), 4);
}

}  // namespace
}  // namespace crossover::http
