#include "common/rpc/handler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "common/rpc/echo_fixture.h"
#include "common/rpc/error_mapper.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

using ::testing::HasSubstr;

class HandlerTest : public EchoFixture {};

TEST_F(HandlerTest, AnswersAndIsCountedTimedAndLogged) {
  Start();
  ASSERT_OK_AND_ASSIGN(const pb::EchoResponse response, Echo("hello"));
  EXPECT_EQ(response.text(), "hello");
  EXPECT_THAT(
      registry_.Expose(),
      HasSubstr("crossover_rpc_requests_total{code=\"OK\",method=\"Echo\",service=\"crossover."
                "rpc_test.EchoService\"} 1"));
  EXPECT_THAT(registry_.Expose(), HasSubstr("crossover_rpc_duration_seconds_count"));
  ASSERT_EQ(logger_.Events("rpc").size(), 1u);
  EXPECT_EQ(logger_.Events("rpc")[0].Field("method"), "Echo");
}

TEST_F(HandlerTest, ErrorsArriveWithTheirReason) {
  Start();
  service_->echo = [](const Call&, const pb::EchoRequest&, pb::EchoResponse&) {
    return Error(absl::StatusCode::kAborted, "LEASE_LOST", "epoch 3 is over");
  };
  const absl::Status status = Echo("x").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, "epoch 3 is over"));
  EXPECT_THAT(status, HasReasonThat("LEASE_LOST"));
}

TEST_F(HandlerTest, AnExceptionIsInternalAndTheServerLives) {
  Start();
  service_->echo = [](const Call&, const pb::EchoRequest&, pb::EchoResponse&) -> absl::Status {
    throw std::runtime_error("surprise");
  };
  EXPECT_THAT(Echo("x").status(), StatusIs(absl::StatusCode::kInternal, HasSubstr("surprise")));
  service_->echo = nullptr;
  EXPECT_OK(Echo("y"));
}

TEST_F(HandlerTest, TheCallersDeadlineAndTraceReachTheHandlersThread) {
  Start();
  absl::Duration left;
  std::string trace;
  service_->echo = [&](const Call& call, const pb::EchoRequest&, pb::EchoResponse&) {
    left = RequestContext::Current().Remaining(SystemClock());
    trace = call.context().trace_id;
    EXPECT_EQ(RequestContext::Current().trace_id, trace);
    return absl::OkStatus();
  };
  ScopedContext scope(
      RequestContext{.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"});
  ASSERT_OK(Echo("x", {.timeout = absl::Seconds(7)}));
  EXPECT_LE(left, absl::Seconds(7) * 1.01);  // gRPC rounds grpc-timeout up to three digits
  EXPECT_GT(left, absl::Seconds(3));
  EXPECT_EQ(trace, "0af7651916cd43dd8448eb211c80319c");
}

TEST_F(HandlerTest, ACallerWithoutADeadlineGetsTheDefault) {
  Start({.default_deadline = absl::Seconds(30)});
  absl::Duration left;
  service_->echo = [&](const Call&, const pb::EchoRequest&, pb::EchoResponse&) {
    left = RequestContext::Current().Remaining(SystemClock());
    return absl::OkStatus();
  };
  ASSERT_OK(Echo("x", {.timeout = absl::InfiniteDuration()}));
  EXPECT_LE(left, absl::Seconds(30));
  EXPECT_GT(left, absl::Seconds(20));
}

TEST_F(HandlerTest, AFullQueueIsRefusedAndNotQueuedForEver) {
  Start({.threads = 1, .queue = 0});
  Event entered;
  Event release;
  service_->echo = [&](const Call&, const pb::EchoRequest&, pb::EchoResponse&) {
    entered.Set();
    release.Wait();
    return absl::OkStatus();
  };
  std::thread first([&] { EXPECT_OK(Echo("first")); });
  ASSERT_TRUE(entered.Wait());
  EXPECT_THAT(Echo("second").status(), HasReasonThat("OVERLOADED"));
  release.Set();
  first.join();
}

class FixedAuthenticator final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(std::string_view authorization,
                                         std::string_view) override {
    if (authorization.empty())
      return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING", "no key");
    return Principal{.name = std::string(authorization), .role = role};
  }
  Role role = Role::kViewer;
};

TEST_F(HandlerTest, KeysAndRolesAreChecked) {
  FixedAuthenticator authenticator;
  Start({.authenticator = &authenticator});
  EXPECT_THAT(Echo("x").status(), HasReasonThat("API_KEY_MISSING"));
  EXPECT_THAT(Echo("x", {.api_key = "sk-1"}).status(),
              StatusIs(absl::StatusCode::kPermissionDenied));
  authenticator.role = Role::kDeveloper;
  EXPECT_OK(Echo("x", {.api_key = "sk-1"}));
}

TEST_F(HandlerTest, ADeferredCallIsFinishedLaterFromAnotherThread) {
  Start({.threads = 1});
  std::thread later;
  Event started;
  service_->poll = [&](Finisher finisher, pb::EchoResponse* response) {
    later = std::thread([finisher, response] {
      response->set_text("later");
      finisher.Finish(absl::OkStatus());
      finisher.Finish(absl::InternalError("only the first counts"));
    });
    started.Set();
  };
  ASSERT_OK_AND_ASSIGN(const pb::EchoResponse response,
                       Invoke(*stub_, &pb::EchoService::Stub::Poll, pb::EchoRequest()));
  EXPECT_EQ(response.text(), "later");
  ASSERT_TRUE(started.Wait());
  later.join();
}

TEST_F(HandlerTest, ParkedLongPollsTakeNoThread) {
  Start({.threads = 1, .queue = 100});
  std::mutex mutex;
  std::vector<Finisher> parked;
  service_->poll = [&](Finisher finisher, pb::EchoResponse*) {
    std::vector<Finisher> all;
    {
      std::lock_guard lock(mutex);
      parked.push_back(finisher);
      if (parked.size() == 20) all.swap(parked);
    }
    for (const Finisher& f : all)
      f.Finish(absl::OkStatus());  // the last one may end the test: nothing of it is used after
  };
  std::vector<std::thread> callers;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 20; ++i) {
    callers.emplace_back([&] {
      answered += Invoke(*stub_, &pb::EchoService::Stub::Poll, pb::EchoRequest()).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : callers) thread.join();
  EXPECT_EQ(answered, 20);
}

TEST_F(HandlerTest, ALongPollWhoseCallerGivesUpIsTold) {
  Start();
  Event told;
  service_->poll = [&](const Finisher& finisher, pb::EchoResponse*) {
    finisher.OnCancel([finisher, &told] {
      finisher.Finish(absl::CancelledError("gone"));
      told.Set();
    });
  };
  EXPECT_THAT(Invoke(*stub_, &pb::EchoService::Stub::Poll, pb::EchoRequest(),
                     {.timeout = absl::Milliseconds(50)})
                  .status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(told.Wait());
}

TEST_F(HandlerTest, AForgottenFinisherEndsTheCall) {
  Start();
  service_->poll = [](const Finisher&, pb::EchoResponse*) {};
  EXPECT_THAT(Invoke(*stub_, &pb::EchoService::Stub::Poll, pb::EchoRequest()).status(),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(HandlerTest, AStreamDeliversEverythingInOrderAndItsStatus) {
  Start();
  service_->watch = [](const pb::EchoRequest& request, const Stream<pb::EchoResponse>& stream) {
    for (int i = 0; i < request.count(); ++i) {
      pb::EchoResponse message;
      message.set_count(i);
      EXPECT_TRUE(stream.WriteBlocking(message));
    }
    stream.Finish(Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED", "list again"));
  };
  grpc::ClientContext context;
  pb::EchoRequest request;
  request.set_count(500);
  auto reader = stub_->Watch(&context, request);
  pb::EchoResponse message;
  int count = 0;
  while (reader->Read(&message)) EXPECT_EQ(message.count(), count++);
  EXPECT_EQ(count, 500);
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(HandlerTest, ASlowReaderFillsTheQueueAndNoMore) {
  Start();
  Event done;
  int taken = 0;
  service_->watch = [&](const pb::EchoRequest&, const Stream<pb::EchoResponse>& stream) {
    pb::EchoResponse message;
    message.set_text(std::string(1 << 20, 'x'));
    while (taken < 1000 && stream.Write(message, 8)) ++taken;
    done.Set();
    stream.Finish(absl::OkStatus());
  };
  grpc::ClientContext context;
  auto reader = stub_->Watch(&context, pb::EchoRequest());
  ASSERT_TRUE(done.Wait());
  EXPECT_LT(taken, 1000);
  EXPECT_GE(taken, 8);
  pb::EchoResponse message;
  int got = 0;
  while (reader->Read(&message)) ++got;
  EXPECT_EQ(got, taken);
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(HandlerTest, AStreamLearnsThatItsClientHasGone) {
  Start();
  Event cancelled;
  std::optional<Stream<pb::EchoResponse>> kept;
  Event parked;
  service_->watch = [&](const pb::EchoRequest&, const Stream<pb::EchoResponse>& stream) {
    stream.OnCancel([&] { cancelled.Set(); });
    kept = stream;
    parked.Set();
  };
  grpc::ClientContext context;
  auto reader = stub_->Watch(&context, pb::EchoRequest());
  ASSERT_TRUE(parked.Wait());
  context.TryCancel();
  ASSERT_TRUE(cancelled.Wait());
  EXPECT_TRUE(kept->cancelled());
  EXPECT_FALSE(kept->Write(pb::EchoResponse()));
  kept->Finish(absl::CancelledError("gone"));
  kept.reset();
}

TEST_F(HandlerTest, UploadReadsAllMessages) {
  Start();
  grpc::ClientContext context;
  pb::EchoResponse response;
  auto writer = stub_->Upload(&context, &response);
  for (int i = 1; i <= 100; ++i) {
    pb::EchoRequest message;
    message.set_count(i);
    ASSERT_TRUE(writer->Write(message));
  }
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(response.count(), 5050);
}

TEST_F(HandlerTest, AnUploadThatBreaksOffEnds) {
  Start();
  Event arrived;
  service_->uploaded = [&] { arrived.Set(); };
  {
    grpc::ClientContext context;
    pb::EchoResponse response;
    auto writer = stub_->Upload(&context, &response);
    ASSERT_TRUE(writer->Write(pb::EchoRequest()));
    ASSERT_TRUE(arrived.Wait());
    context.TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }
  server_->Stop();  // would hang if the upload's thread still waited
  EXPECT_EQ(logger_.Events("rpc").size(), 1u);
}

TEST_F(HandlerTest, AnIdleUploadKeepsNoOtherCallWaitingAndEnds) {
  Start({.threads = 1, .stream_threads = 1, .stream_idle_timeout = absl::Milliseconds(500)});
  Event arrived;
  service_->uploaded = [&] { arrived.Set(); };
  grpc::ClientContext context;
  pb::EchoResponse response;
  auto writer = stub_->Upload(&context, &response);
  ASSERT_TRUE(writer->Write(pb::EchoRequest()));
  ASSERT_TRUE(arrived.Wait());
  EXPECT_OK(Echo("while the upload waits for its client"));
  const absl::Status status = FromGrpc(writer->Finish());  // without WritesDone
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDeadlineExceeded,
                               ::testing::HasSubstr("the client did nothing for 500ms")));
  // Its thread is free again.
  grpc::ClientContext second_context;
  auto second = stub_->Upload(&second_context, &response);
  second->WritesDone();
  EXPECT_TRUE(second->Finish().ok());
}

TEST_F(HandlerTest, AClientThatTakesNothingEndsItsStreamAndKeepsNoOtherCallWaiting) {
  Start({.threads = 1, .stream_threads = 1, .stream_idle_timeout = absl::Milliseconds(500)});
  Event gave_up;
  service_->watch = [&](const pb::EchoRequest&, const Stream<pb::EchoResponse>& stream) {
    pb::EchoResponse message;
    message.set_text(std::string(1 << 20, 'x'));
    while (stream.WriteBlocking(message, 4)) {
    }
    stream.Finish(absl::OkStatus());
    gave_up.Set();
  };
  grpc::ClientContext context;
  auto reader = stub_->Watch(&context, pb::EchoRequest());
  EXPECT_OK(Echo("while the stream waits for its client"));
  ASSERT_TRUE(gave_up.Wait());
  pb::EchoResponse message;
  while (reader->Read(&message)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
}

}  // namespace
}  // namespace crossover::rpc
