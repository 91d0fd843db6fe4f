#include "common/rpc/deployment_keys.h"

#include <gtest/gtest.h>

#include "common/rpc/echo_fixture.h"
#include "common/rpc/token_channel.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

TEST(DeploymentKeysTest, HoldersOfTheServiceKeyAreWhomTheirTokenNames) {
  DeploymentAuthenticator authenticator({.service = "s3cret", .admin = "chief"}, nullptr);
  const auto self = authenticator.Authenticate("Bearer s3cret", "ipv4:10.0.0.7:5000");
  ASSERT_OK(self);
  EXPECT_EQ(self->role, Role::kService);
  EXPECT_EQ(self->project, "");
  const std::string token = ServiceToken(
      "s3cret", {.name = "apiKeys/06b;x", .project = "projects/shop", .role = Role::kDeveloper});
  const auto other = authenticator.Authenticate("Bearer " + token, "ipv4:10.0.0.7:5000");
  ASSERT_OK(other);
  EXPECT_EQ(other->name, "apiKeys/06b;x");
  EXPECT_EQ(other->project, "projects/shop");
  EXPECT_EQ(other->role, Role::kDeveloper);
  const auto admin = authenticator.Authenticate("Bearer chief", "");
  ASSERT_OK(admin);
  EXPECT_EQ(admin->role, Role::kAdmin);
}

TEST(DeploymentKeysTest, WithoutTheServiceKeyNobodyIsLetInNotEvenFromThisMachine) {
  DeploymentAuthenticator closed({.service = "s3cret", .admin = ""}, nullptr);
  EXPECT_THAT(closed.Authenticate("", "ipv4:127.0.0.1:5000"), HasReasonThat("API_KEY_MISSING"));
  for (const char* bad : {"s3cret", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Bearer ;4;;me",
                          "Bearer s3cret;", "Bearer s3cret;0;;me", "Bearer s3cret;9;;me",
                          "Bearer s3cret;x;;me", "Bearer s3cret;4;me"}) {
    EXPECT_THAT(closed.Authenticate(bad, ""), HasReasonThat("API_KEY_INVALID")) << bad;
  }
  DeploymentAuthenticator without_keys({}, nullptr);
  EXPECT_THAT(without_keys.Authenticate("Bearer ", ""), HasReasonThat("API_KEY_INVALID"));
  LoopbackAuthenticator loopback;
  DeploymentAuthenticator open({.service = "s3cret", .admin = ""}, &loopback);
  EXPECT_OK(open.Authenticate("", "ipv4:127.0.0.1:5000"));
}

TEST(DeploymentKeysTest, KeysThatCanBeGuessedOrNotSentAreRefused) {
  EXPECT_OK(CheckKey("the key", std::string(32, 'a')));
  for (const std::string& bad : {std::string(), std::string(31, 'a'), std::string(40, ';'),
                                 std::string(40, 'a') + " b", std::string(40, 'a') + "\n"}) {
    EXPECT_THAT(CheckKey("the key", bad), HasReasonThat("CONFIG_INVALID")) << bad;
  }
}

class ChannelTokenTest : public EchoFixture {};

TEST_F(ChannelTokenTest, IsSentWithCallsThatHaveNone) {
  DeploymentAuthenticator authenticator({.service = "s3cret", .admin = "chief"}, nullptr);
  EchoService guarded(
      {.service = "crossover.rpc_test.EchoService", .authenticator = &authenticator}, logger_,
      registry_);
  guarded.echo = [](const Call& call, const pb::EchoRequest&, pb::EchoResponse& response) {
    response.set_text(call.principal().name);
    return absl::OkStatus();
  };
  guarded.watch = [](const pb::EchoRequest&, const Stream<pb::EchoResponse>& stream) {
    stream.Finish(absl::OkStatus());
  };
  EchoModule module(guarded);
  auto server = Server::Start({.addresses = {"127.0.0.1:0"}}, {&module}, logger_);
  ASSERT_OK(server);
  int asked = 0;
  const std::string target = "127.0.0.1:" + std::to_string((*server)->port());
  stub_ = pb::EchoService::NewStub(NewTokenChannel(target, [&asked] {
    return ServiceToken("s3cret",
                        {.name = "life " + std::to_string(++asked), .role = Role::kAdmin});
  }));
  EXPECT_EQ(Echo("x")->text(), "life 1");
  EXPECT_EQ(Echo("x")->text(), "life 2");
  EXPECT_EQ(Echo("x", {.api_key = "chief"})->text(), "admin-key");
  EXPECT_EQ(asked, 2);
  grpc::ClientContext context;  // streams too
  auto reader = stub_->Watch(&context, pb::EchoRequest());
  pb::EchoResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_TRUE(reader->Finish().ok());
}

}  // namespace
}  // namespace crossover::rpc
