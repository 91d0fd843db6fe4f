#include "common/rpc/server.h"

#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "common/rpc/echo_fixture.h"
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
  module_->ready_status = absl::UnavailableError("database down");
  EXPECT_THAT(server_->Ready(), StatusIs(absl::StatusCode::kUnavailable));
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
