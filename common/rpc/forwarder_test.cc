#include "common/rpc/forwarder.h"

#include <gtest/gtest.h>

#include "common/rpc/deployment_keys.h"
#include "common/rpc/echo_fixture.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

class DenyAll final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(std::string_view, std::string_view) override {
    return Principal{.name = "viewer", .role = Role::kViewer};
  }
};

// The echo service behind; the test talks to the server in front.
class ForwarderTest : public EchoFixture {
 protected:
  void StartBoth(Authenticator* authenticator = nullptr, const std::string& service_key = "",
                 Authenticator* behind = nullptr) {
    Start({.authenticator = behind});
    auto front =
        Server::Start({.addresses = {"127.0.0.1:0"},
                       .drain_timeout = absl::Seconds(2),
                       .forwards = {{"crossover.rpc_test.", channel_, authenticator, service_key}}},
                      {}, logger_);
    ASSERT_OK(front);
    front_ = *std::move(front);
    stub_ = pb::EchoService::NewStub(NewChannel("127.0.0.1:" + std::to_string(front_->port())));
  }

  std::unique_ptr<Server> front_;
};

TEST_F(ForwarderTest, UnaryCallsPassWithTheirErrors) {
  StartBoth();
  ASSERT_OK_AND_ASSIGN(const pb::EchoResponse response, Echo("hello"));
  EXPECT_EQ(response.text(), "hello");
  service_->echo = [](const Call&, const pb::EchoRequest&, pb::EchoResponse&) {
    return Error(absl::StatusCode::kAborted, "LEASE_LOST", "epoch 3 is over");
  };
  EXPECT_THAT(Echo("x").status(), HasReasonThat("LEASE_LOST"));
}

TEST_F(ForwarderTest, TheDeadlineGoesAlong) {
  StartBoth();
  service_->echo = [](const Call& call, const pb::EchoRequest&, pb::EchoResponse&) {
    EXPECT_LE(call.context().Remaining(SystemClock()), absl::Seconds(8));  // gRPC rounds up
    return absl::OkStatus();
  };
  EXPECT_OK(Echo("x", {.timeout = absl::Seconds(7)}));
}

TEST_F(ForwarderTest, StreamsPassInBothDirections) {
  StartBoth();
  service_->watch = [](const pb::EchoRequest& request, const Stream<pb::EchoResponse>& stream) {
    for (int i = 0; i < request.count(); ++i) {
      pb::EchoResponse message;
      message.set_count(i);
      stream.WriteBlocking(message);
    }
    stream.Finish(absl::OkStatus());
  };
  grpc::ClientContext watch_context;
  pb::EchoRequest request;
  request.set_count(200);
  auto reader = stub_->Watch(&watch_context, request);
  pb::EchoResponse message;
  int count = 0;
  while (reader->Read(&message)) EXPECT_EQ(message.count(), count++);
  EXPECT_EQ(count, 200);
  EXPECT_TRUE(reader->Finish().ok());

  grpc::ClientContext upload_context;
  pb::EchoResponse sum;
  auto writer = stub_->Upload(&upload_context, &sum);
  for (int i = 1; i <= 100; ++i) {
    pb::EchoRequest part;
    part.set_count(i);
    ASSERT_TRUE(writer->Write(part));
  }
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(sum.count(), 5050);
}

TEST_F(ForwarderTest, ACallerThatGivesUpIsNoticedBehind) {
  StartBoth();
  Event parked;
  Event cancelled;
  service_->watch = [&](const pb::EchoRequest&, const Stream<pb::EchoResponse>& stream) {
    stream.OnCancel([&, stream] {
      stream.Finish(absl::CancelledError("gone"));
      cancelled.Set();
    });
    parked.Set();
  };
  grpc::ClientContext context;
  auto reader = stub_->Watch(&context, pb::EchoRequest());
  ASSERT_TRUE(parked.Wait());
  context.TryCancel();
  EXPECT_TRUE(cancelled.Wait());
}

TEST_F(ForwarderTest, NobodyBehindIsUnavailableAndOtherServicesAreUnknown) {
  StartBoth();
  server_->Stop();
  EXPECT_THAT(Echo("x").status(), StatusIs(absl::StatusCode::kUnavailable));
  EchoService unused({.service = "s"}, logger_, registry_);
  auto front = Server::Start({.addresses = {"127.0.0.1:0"}, .forwards = {{"other.", channel_}}}, {},
                             logger_);
  ASSERT_OK(front);
  stub_ = pb::EchoService::NewStub(NewChannel("127.0.0.1:" + std::to_string((*front)->port())));
  EXPECT_THAT(Echo("x").status(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ForwarderTest, RolesAreCheckedInFront) {
  DenyAll authenticator;
  StartBoth(&authenticator);
  EXPECT_THAT(Echo("x").status(), HasReasonThat("ROLE_INSUFFICIENT"));
}

// Who has which key in front.
class KeyRing final : public Authenticator {
 public:
  absl::StatusOr<Principal> Authenticate(std::string_view authorization,
                                         std::string_view) override {
    if (authorization == "Bearer developer") {
      return Principal{.name = "apiKeys/1", .project = "projects/shop", .role = Role::kDeveloper};
    }
    if (authorization == "Bearer viewer")
      return Principal{.name = "apiKeys/2", .role = Role::kViewer};
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING", "no key");
  }
};

TEST_F(ForwarderTest, TheServiceBehindLearnsWhoCallsAndTakesNobodyElse) {
  KeyRing keys;
  DeploymentAuthenticator behind({.service = "s3cret", .admin = ""}, nullptr);
  StartBoth(&keys, "s3cret", &behind);
  service_->echo = [](const Call& call, const pb::EchoRequest&, pb::EchoResponse& response) {
    response.set_text(call.principal().name + " " + call.context().project);
    return absl::OkStatus();
  };
  ASSERT_OK_AND_ASSIGN(const pb::EchoResponse response, Echo("x", {.api_key = "developer"}));
  EXPECT_EQ(response.text(), "apiKeys/1 projects/shop");
  EXPECT_THAT(Echo("x", {.api_key = "viewer"}).status(), HasReasonThat("ROLE_INSUFFICIENT"));
  EXPECT_THAT(Echo("x").status(), HasReasonThat("API_KEY_MISSING"));
  EXPECT_THAT(Echo("x", {.api_key = "s3cret"}).status(), HasReasonThat("API_KEY_MISSING"));
  stub_ = pb::EchoService::NewStub(channel_);  // past the door
  EXPECT_THAT(Echo("x").status(), HasReasonThat("API_KEY_MISSING"));
  EXPECT_THAT(Echo("x", {.api_key = "developer"}).status(), HasReasonThat("API_KEY_INVALID"));
}

}  // namespace
}  // namespace crossover::rpc
