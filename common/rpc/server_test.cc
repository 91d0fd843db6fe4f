#include "common/rpc/server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "common/rpc/echo_fixture.h"
#include "common/rpc/error_mapper.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"

namespace crossover::rpc {
namespace {

using ::testing::HasSubstr;

class ServerTest : public EchoFixture {};

TEST_F(ServerTest, APortInUseIsNamed) {
  Start();
  const std::string address = "127.0.0.1:" + std::to_string(server_->port());
  EchoService other({.service = "s"}, logger_, registry_);
  EchoModule module(other);
  const auto second = Server::Start({.addresses = {address}}, {&module}, logger_);
  EXPECT_THAT(second.status(), HasReasonThat("PORT_IN_USE"));
  EXPECT_THAT(second.status().ToString(), HasSubstr(address));
  EXPECT_EQ(module.started, 0);
}

TEST_F(ServerTest, WrongAddressIsExplained) {
  const auto server = Server::Start({.addresses = {"nonsense"}}, {}, logger_);
  EXPECT_THAT(server.status(), HasReasonThat("CONFIG_INVALID"));
}

TEST_F(ServerTest, ServesUnixSocketsAndTakesOverAStaleOne) {
  testing::TempDir dir;
  const std::string path = dir / "grpc.sock";
  testing::WriteFile(path, "left by a killed process");
  EchoService service({.service = "s"}, logger_, registry_);
  EchoModule module(service);
  ASSERT_OK_AND_ASSIGN(auto server,
                       Server::Start({.addresses = {"unix:" + path}}, {&module}, logger_));
  auto stub = pb::EchoService::NewStub(NewChannel("unix:" + path));
  EXPECT_OK(Invoke(*stub, &pb::EchoService::Stub::Echo, pb::EchoRequest()));
  EXPECT_THAT(Server::Start({.addresses = {"unix:" + path}}, {}, logger_).status(),
              HasReasonThat("PORT_IN_USE"));
  server->Stop();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ServerTest, InProcessChannelsWork) {
  Start();
  auto stub = pb::EchoService::NewStub(server_->InProcessChannel());
  EXPECT_OK(Invoke(*stub, &pb::EchoService::Stub::Echo, pb::EchoRequest()));
}

TEST_F(ServerTest, AModuleThatFailsToStartIsDrainedAndReported) {
  EchoService service({.service = "s"}, logger_, registry_);
  EchoModule module(service);
  module.start_status = absl::FailedPreconditionError("no model");
  EXPECT_THAT(Server::Start({.addresses = {"127.0.0.1:0"}}, {&module}, logger_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, "no model"));
  EXPECT_EQ(module.drained, 1);
}

TEST_F(ServerTest, StopDrainsOnceAndLetsCallsInProgressFinish) {
  Start();
  Event entered;
  Event release;
  service_->echo = [&](const Call&, const pb::EchoRequest&, pb::EchoResponse&) {
    entered.Set();
    release.Wait();
    return absl::OkStatus();
  };
  std::thread caller([&] { EXPECT_OK(Echo("in progress")); });
  ASSERT_TRUE(entered.Wait());
  module_->on_drain = [&] { release.Set(); };
  server_->Stop();
  server_->Stop();
  caller.join();
  EXPECT_EQ(module_->drained, 1);
}

TEST_F(ServerTest, ReadinessIsThatOfTheModules) {
  Start();
  EXPECT_OK(server_->Ready());
  module_->database_away = true;
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kUnavailable));
}

// Calls a method with the bytes of a message and gives those of the (first) answer.
absl::StatusOr<std::string> CallRaw(const std::shared_ptr<grpc::Channel>& channel,
                                    const std::string& method, const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  Event done;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                 [&](const grpc::Status& s) {
                   status = s;
                   done.Set();
                 });
  if (!done.Wait()) return absl::DeadlineExceededError(method);
  if (!status.ok()) return FromGrpc(status);
  grpc::Slice out;
  if (!response.DumpToSingleSlice(&out).ok()) return absl::InternalError("no answer");
  return std::string(reinterpret_cast<const char*>(out.begin()), out.size());
}

// HealthCheckResponse{status} of the whole server.
std::string Health(const std::shared_ptr<grpc::Channel>& channel) {
  const auto bytes = CallRaw(channel, "/grpc.health.v1.Health/Check", "");
  EXPECT_OK(bytes);
  if (bytes.ok() && *bytes == "\x08\x01") return "SERVING";
  return bytes.ok() && *bytes == "\x08\x02" ? "NOT_SERVING" : "?";
}

TEST_F(ServerTest, HealthFollowsTheModules) {
  EchoService service({.service = "s"}, logger_, registry_);
  EchoModule module(service);
  ASSERT_OK_AND_ASSIGN(auto server, Server::Start({.addresses = {"127.0.0.1:0"},
                                                   .health_interval = absl::Milliseconds(10)},
                                                  {&module}, logger_));
  const auto channel = server->InProcessChannel();
  EXPECT_EQ(Health(channel), "SERVING");
  const auto becomes = [&](const std::string& state) {
    for (int i = 0; i < 2000 && Health(channel) != state; ++i)
      SystemClock().SleepFor(absl::Milliseconds(5));
    return Health(channel) == state;
  };
  module.database_away = true;
  EXPECT_TRUE(becomes("NOT_SERVING"));
  module.database_away = false;
  EXPECT_TRUE(becomes("SERVING"));
}

TEST_F(ServerTest, ReflectionIsThereUnlessItIsTurnedOff) {
  for (const bool reflection : {true, false, true}) {
    EchoService service({.service = "s"}, logger_, registry_);
    EchoModule module(service);
    ASSERT_OK_AND_ASSIGN(auto server,
                         Server::Start({.addresses = {"127.0.0.1:0"}, .reflection = reflection},
                                       {&module}, logger_));
    // ServerReflectionRequest{list_services: ""}
    const auto services = CallRaw(server->InProcessChannel(),
                                  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                  std::string("\x3a\0", 2));
    if (reflection) {
      ASSERT_OK(services);
      EXPECT_THAT(*services, HasSubstr("crossover.rpc_test.EchoService"));
    } else {
      EXPECT_THAT(services, StatusIs(absl::StatusCode::kUnimplemented));
    }
  }
}

TEST(ShutdownSignalTest, WaitReturnsTheSignalOrTheTrigger) {
  ShutdownSignal signal;
  ::raise(SIGTERM);  // to this thread: gRPC's threads of earlier tests do not block it
  EXPECT_EQ(signal.Wait(), SIGTERM);
  std::thread trigger([&] { signal.Trigger(); });
  EXPECT_EQ(signal.Wait(), 0);
  trigger.join();
}

}  // namespace
}  // namespace crossover::rpc
