#include "common/rpc/auth.h"

#include <gtest/gtest.h>

#include "common/rpc/testing_proto/echo.pb.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

TEST(AuthTest, RolesRankAndTheTwoApartDoNot) {
  const MethodAccess developer{.role = Role::kDeveloper, .also = {Role::kWorker}};
  EXPECT_FALSE(Allows(developer, Role::kViewer));
  EXPECT_TRUE(Allows(developer, Role::kDeveloper));
  EXPECT_TRUE(Allows(developer, Role::kOperator));
  EXPECT_TRUE(Allows(developer, Role::kWorker));
  EXPECT_FALSE(Allows(developer, Role::kService));
  const MethodAccess worker{.role = Role::kWorker};
  EXPECT_TRUE(Allows(worker, Role::kWorker));
  EXPECT_TRUE(Allows(worker, Role::kAdmin));
  EXPECT_FALSE(Allows(worker, Role::kService));
  EXPECT_FALSE(Allows(worker, Role::kOperator));
}

TEST(AuthTest, AMethodNobodyDecidedAboutIsForAdminsAlone) {
  const MethodAccess unknown = AccessOf("crossover.rpc_test.EchoService/NoSuchMethod");
  EXPECT_TRUE(Allows(unknown, Role::kAdmin));
  for (const Role role : {Role::kUnspecified, Role::kViewer, Role::kDeveloper, Role::kOperator,
                          Role::kWorker, Role::kService}) {
    EXPECT_FALSE(Allows(unknown, role));
  }
}

TEST(AuthTest, AccessIsReadFromTheMethodsOption) {
  crossover::rpc_test::EchoRequest().GetDescriptor();  // links the descriptors in
  const MethodAccess access = AccessOf("crossover.rpc_test.EchoService/Echo");
  EXPECT_EQ(access.role, Role::kDeveloper);
  EXPECT_THAT(access.also, ::testing::ElementsAre(Role::kWorker));
  EXPECT_EQ(AccessOf("/crossover.rpc_test.EchoService/Poll").role, Role::kAdmin);
  EXPECT_EQ(AccessOf("crossover.rpc_test.EchoService/Nothing").role, Role::kUnspecified);
}

TEST(AuthTest, LoopbackIsAdminAndOthersAreRefused) {
  LoopbackAuthenticator authenticator;
  for (const char* peer :
       {"ipv4:127.0.0.1:5000", "unix:/run/x.sock", "unix:", "ipv6:%5B::1%5D:99", "inproc"}) {
    const auto principal = authenticator.Authenticate("", peer);
    ASSERT_TRUE(principal.ok()) << peer;
    EXPECT_EQ(principal->role, Role::kAdmin);
  }
  EXPECT_THAT(authenticator.Authenticate("Bearer x", "ipv4:10.0.0.7:5000"),
              HasReasonThat("API_KEY_MISSING"));
}

}  // namespace
}  // namespace crossover::rpc
