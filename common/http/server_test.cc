#include "common/http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/http/async.h"
#include "common/http/client.h"
#include "common/http/raw_client.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"

namespace crossover::http {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ServerTest : public ::testing::Test {
 protected:
  Server& Make(ServerOptions options = {}) {
    server_ = std::make_unique<Server>(options, logger_);
    server_->Handle("GET", "/hello/{name}", [](const Request& request) {
      return Response::Text(200, "hello " + request.params.at("name"));
    });
    server_->Handle("POST", "/echo",
                    [](const Request& request) { return Response::Text(200, request.body); });
    return *server_;
  }
  void Start() { ASSERT_OK(server_->Start()); }
  std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
  }
  ClientResponse Get(const std::string& path) {
    auto response = client_.Send({.url = Url(path)});
    EXPECT_OK(response);
    return response.ok() ? *response : ClientResponse{};
  }
  ClientResponse Post(const std::string& path, std::string body) {
    auto response = client_.Send({.method = "POST", .url = Url(path), .body = std::move(body)});
    EXPECT_OK(response);
    return response.ok() ? *response : ClientResponse{};
  }

  FakeLogger logger_;
  // What handlers and tests tell each other. Older than the server, not variables of a test: a
  // handler may be about to look when the test is over.
  absl::Notification entered_;
  absl::Notification release_;
  absl::Notification gone_;
  absl::Notification ended_;
  std::atomic<int> disconnects_ = 0;
  std::unique_ptr<Server> server_;
  Client client_;
};

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  Make();
  Start();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Get("/hello/you").body, "hello you");
  EXPECT_EQ(Post("/echo", std::string(1 << 20, 'x')).body.size(), 1u << 20);
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(ServerTest, UnknownPathAndMethodHaveOpenAiErrors) {
  Make();
  Start();
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_THAT(Get("/nothing").body, HasSubstr("\"error\""));
  const ClientResponse wrong = Get("/echo");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.Get("Allow"), "POST");
}

TEST_F(ServerTest, APortInUseIsNamed) {
  Make();
  Start();
  Server second({.port = server_->port()}, logger_);
  const absl::Status status = second.Start();
  EXPECT_THAT(status, HasReasonThat("PORT_IN_USE"));
  EXPECT_THAT(status.ToString(), HasSubstr(std::to_string(server_->port())));
}

TEST_F(ServerTest, ABodyThatIsTooLargeIsRefusedWithAnAnswer) {
  Make({.max_body_bytes = 1000});
  Start();
  EXPECT_EQ(Post("/echo", std::string(1000, 'x')).status, 200);
  EXPECT_EQ(Post("/echo", std::string(1001, 'x')).status, 413);
  RawClient raw(server_->port());
  raw.Send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
           std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_THAT(raw.ReadAll(), StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, NonsenseAndHugeHeadersAreRefused) {
  Make({.max_header_bytes = 2000});
  Start();
  RawClient nonsense(server_->port());
  nonsense.Send("\x16\x03\x01 this is TLS or worse\r\n\r\n");
  EXPECT_THAT(nonsense.ReadAll(), StartsWith("HTTP/1.1 400"));
  RawClient huge(server_->port());
  huge.Send("GET / HTTP/1.1\r\nX: " + std::string(5000, 'x') + "\r\n\r\n");
  EXPECT_THAT(huge.ReadAll(), StartsWith("HTTP/1.1 431"));
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Make();
  Start();
  RawClient raw(server_->port());
  raw.Send(
      "GET /hello/a HTTP/1.1\r\nHost: x\r\n\r\nGET /hello/b HTTP/1.1\r\nHost: x\r\nConnection: "
      "close\r\n\r\n");
  const std::string all = raw.ReadAll();
  EXPECT_LT(all.find("hello a"), all.find("hello b"));
  EXPECT_NE(all.find("hello b"), std::string::npos);
}

TEST_F(ServerTest, HeadHasNoBodyAndExpectIsHonoured) {
  Make();
  Start();
  RawClient head(server_->port());
  head.Send("HEAD /hello/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = head.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 7"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
  RawClient expect(server_->port());
  expect.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_THAT(expect.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 100"));
  expect.Send("abc");
  EXPECT_THAT(expect.ReadAll(), HasSubstr("abc"));
}

TEST_F(ServerTest, ResponseHeadersCannotBeInjected) {
  Make().Handle("GET", "/inject", [](const Request&) {
    return Response{200, {{"X-Name", "a\r\nSet-Cookie: evil=1"}}, "ok"};
  });
  Start();
  EXPECT_FALSE(Get("/inject").headers.Has("Set-Cookie"));
}

TEST_F(ServerTest, AHandlerThatThrowsOrForgetsIs500AndLogged) {
  Make().Handle("GET", "/throw",
                [](const Request&) -> Response { throw std::runtime_error("surprise"); });
  server_->HandleStream("GET", "/forget", [](Exchange&) {});
  Start();
  EXPECT_EQ(Get("/throw").status, 500);
  EXPECT_EQ(Get("/forget").status, 500);
  EXPECT_EQ(logger_.Events("http_handler_failed").size(), 2u);
  EXPECT_EQ(Get("/hello/still").status, 200);
}

TEST_F(ServerTest, StreamsArriveInPieces) {
  Make().HandleStream("GET", "/sse", [&](Exchange& exchange) {
    ASSERT_OK(exchange.Start(200, {{"Content-Type", "text/event-stream"}}));
    ASSERT_OK(exchange.Write("data: one\n\n"));
    EXPECT_TRUE(release_.WaitForNotificationWithTimeout(absl::Seconds(20)));
    ASSERT_OK(exchange.Write("data: two\n\n"));
    ASSERT_OK(exchange.Finish());
  });
  Start();
  std::string all;
  EXPECT_OK(client_.Stream(
      {.url = Url("/sse")}, [](const ClientResponse& head) { return head.status == 200; },
      [&](std::string_view piece) {
        all += piece;
        if (!release_.HasBeenNotified()) release_.Notify();
        return true;
      }));
  EXPECT_EQ(all, "data: one\n\ndata: two\n\n");
}

TEST_F(ServerTest, AHandlerThatStopsInTheMiddleOfAStreamIsSeenAsTruncation) {
  Make().HandleStream("GET", "/cut", [](Exchange& exchange) {
    ASSERT_OK(exchange.Start(200, {}));
    ASSERT_OK(exchange.Write("half"));
  });
  Start();
  std::string all;
  const absl::Status status = client_.Stream(
      {.url = Url("/cut")}, [](const ClientResponse&) { return true; },
      [&](std::string_view piece) {
        all += piece;
        return true;
      });
  EXPECT_EQ(all, "half");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, AClientThatGoesAwayIsReportedBeforeTheFirstByte) {
  Make().HandleStream("GET", "/slow", [&](Exchange& exchange) {
    exchange.OnDisconnect([&] { gone_.Notify(); });
    entered_.Notify();
    EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
    EXPECT_TRUE(exchange.Disconnected());
  });
  Start();
  RawClient raw(server_->port());
  raw.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(entered_.WaitForNotificationWithTimeout(absl::Seconds(20)));
  raw.Close();
  EXPECT_TRUE(gone_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ServerTest, WritesToAClientThatHasGoneFail) {
  Make().HandleStream("GET", "/endless", [&](Exchange& exchange) {
    ASSERT_OK(exchange.Start(200, {}));
    const std::string piece(100'000, 'x');
    absl::Status status;
    while (status.ok()) status = exchange.Write(piece);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
    ended_.Notify();
  });
  Start();
  RawClient raw(server_->port());
  raw.Send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
  raw.ReadUntil("x");
  raw.Close();
  EXPECT_TRUE(ended_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ServerTest, AReaderThatStallsIsCutAfterTheWriteTimeout) {
  Make({.write_timeout = absl::Milliseconds(100)})
      .HandleStream("GET", "/endless", [&](Exchange& exchange) {
        ASSERT_OK(exchange.Start(200, {}));
        const std::string piece(1 << 20, 'x');
        while (exchange.Write(piece).ok()) {
        }
        ended_.Notify();
      });
  Start();
  RawClient raw(server_->port());
  raw.Send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");  // and never reads
  EXPECT_TRUE(ended_.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(ServerTest, AStreamedBodyIsReadInPiecesBeyondTheBodyLimit) {
  Make({.max_body_bytes = 1000})
      .HandleStream("POST", "/upload",
                    [](Exchange& exchange) {
                      size_t total = 0;
                      for (;;) {
                        const auto piece = exchange.ReadBody();
                        ASSERT_OK(piece);
                        if (piece->empty()) break;
                        total += piece->size();
                      }
                      EXPECT_OK(exchange.Respond(Response::Text(200, std::to_string(total))));
                    },
                    {.stream_body = true});
  Start();
  EXPECT_EQ(Post("/upload", std::string(5'000'000, 'x')).body, "5000000");
  EXPECT_EQ(Post("/upload", "").body, "0");
}

TEST_F(ServerTest, AsyncHandlersAnswerStreamAndNoticeDisconnects) {
  Make({.threads = 2}).async().Handle("GET", "/async", [&](AsyncExchange& exchange) -> Task<void> {
    boost::asio::steady_timer timer(exchange.executor(), std::chrono::milliseconds(1));
    co_await timer.async_wait(boost::asio::use_awaitable);
    Headers headers;
    (void)co_await exchange.Start(200, headers);
    (void)co_await exchange.Write("piece");
    (void)co_await exchange.Finish();
  });
  server_->async().Handle("GET", "/wait", [&](AsyncExchange& exchange) -> Task<void> {
    boost::asio::steady_timer timer(exchange.executor(), std::chrono::seconds(20));
    exchange.OnDisconnect([&] {
      ++disconnects_;
      timer.cancel();
    });
    try {
      co_await timer.async_wait(boost::asio::use_awaitable);
    } catch (const boost::system::system_error&) {
    }
  });
  Start();
  EXPECT_EQ(server_->async().Executors().size(), 2u);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Client client;
      for (int i = 0; i < 50; ++i) {
        auto response = client.Send({.url = Url("/async")});
        ASSERT_OK(response);
        EXPECT_EQ(response->body, "piece");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(client_.Send({.url = Url("/wait"), .timeout = absl::Milliseconds(50)}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  for (int i = 0; i < 2000 && disconnects_ == 0; ++i) SystemClock().SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(disconnects_, 1);
}

TEST_F(ServerTest, StopLetsAnswersInProgressFinishAndRefusesNewOnes) {
  Make().Handle("GET", "/slow", [&](const Request&) {
    entered_.Notify();
    release_.WaitForNotification();
    return Response::Text(200, "done");
  });
  Start();
  const int port = server_->port();
  std::thread caller([&] { EXPECT_EQ(Get("/slow").body, "done"); });
  ASSERT_TRUE(entered_.WaitForNotificationWithTimeout(absl::Seconds(20)));
  std::thread stopper([&] { server_->Stop(absl::Seconds(20)); });
  release_.Notify();
  stopper.join();
  caller.join();
  EXPECT_FALSE(RawClient(port).connected());
  server_->Stop();
}

TEST_F(ServerTest, StopCutsIdleConnections) {
  Make();
  Start();
  Get("/hello/you");
  const absl::Duration before = SystemClock().SteadyNow();
  server_->Stop(absl::Seconds(20));
  EXPECT_LT(SystemClock().SteadyNow() - before, absl::Seconds(10));
}

TEST_F(ServerTest, TooManyConnectionsAreAnswered503) {
  Make({.max_connections = 1});
  Start();
  Get("/hello/you");
  RawClient raw(server_->port());
  EXPECT_THAT(raw.ReadAll(), StartsWith("HTTP/1.1 503"));
}

TEST_F(ServerTest, MetricsAndHealthRoutes) {
  absl::Status ready = absl::UnavailableError("no model yet");
  AddMetricsRoute(Make(), [] { return "crossover_build_info 1\n"; });
  AddHealthRoutes(*server_, [&] { return ready; });
  Start();
  EXPECT_EQ(Get("/metrics").body, "crossover_build_info 1\n");
  EXPECT_EQ(Get("/healthz").status, 200);
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_THAT(Get("/readyz").body, HasSubstr("no model yet"));
  ready = absl::OkStatus();
  EXPECT_EQ(Get("/readyz").status, 200);
}

}  // namespace
}  // namespace crossover::http
