#include "services/shadow_router/transport/registry_callers.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>

#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"

namespace crossover::router {
namespace {

// One good key, and loopback without one.
class FakeAuthenticator final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view peer) override {
    ++calls;
    if (authorization.empty()) return loopback.Authenticate(authorization, peer);
    if (down) return Error(absl::StatusCode::kUnavailable, "SERVICE_UNAVAILABLE", "database away");
    if (authorization == "Bearer good") {
      return rpc::Principal{
          .name = "apiKeys/k", .project = "projects/p", .role = rpc::Role::kDeveloper};
    }
    if (authorization == "Bearer anything-here") return loopback.Authenticate(authorization, peer);
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID", "no such key");
  }
  rpc::LoopbackAuthenticator loopback;
  bool down = false;
  int calls = 0;
};

class FakeRegistry final : public registry::v1::ProjectService::Service {
 public:
  grpc::Status GetApiKey(grpc::ServerContext*, const registry::v1::GetApiKeyRequest* request,
                         registry::v1::ApiKey* key) override {
    EXPECT_EQ(request->name(), "projects/p/apiKeys/k");
    if (down) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "down");
    key->add_routes("sorter");
    key->mutable_limits()->set_requests_per_minute(7);
    key->mutable_limits()->mutable_spend_per_day()->set_units(2);
    return grpc::Status::OK;
  }
  std::atomic<bool> down = false;
};

class RegistryCallersTest : public ::testing::Test {
 protected:
  RegistryCallersTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&registry_);
    server_ = builder.BuildAndStart();
    callers_ =
        std::make_unique<RegistryCallers>(authenticator_, server_->InProcessChannel({}), clock_);
  }
  ~RegistryCallersTest() override { server_->Shutdown(); }

  FakeClock clock_;
  FakeAuthenticator authenticator_;
  FakeRegistry registry_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<RegistryCallers> callers_;
};

constexpr char kPeer[] = "10.1.2.3:5000";

TEST_F(RegistryCallersTest, AKeyBringsItsRoutesAndLimitsAndIsRememberedForAMoment) {
  EXPECT_EQ(callers_->Known("Bearer good", kPeer), std::nullopt);
  ASSERT_OK_AND_ASSIGN(const Caller caller, callers_->Find("Bearer good", kPeer));
  EXPECT_EQ(caller.name, "apiKeys/k");
  EXPECT_EQ(caller.project, "projects/p");
  EXPECT_THAT(caller.routes, ::testing::ElementsAre("sorter"));
  EXPECT_EQ(caller.limits, (CallerLimits{.requests_per_minute = 7, .spend_per_day_usd = 2}));
  EXPECT_TRUE(caller.may_call);
  const int calls = authenticator_.calls;
  ASSERT_TRUE(callers_->Known("Bearer good", kPeer).has_value());
  EXPECT_EQ(authenticator_.calls, calls);
  clock_.Advance(absl::Seconds(6));
  EXPECT_EQ(callers_->Known("Bearer good", kPeer), std::nullopt);
}

TEST_F(RegistryCallersTest, ABadKeyIsRefusedFromMemoryTheSecondTime) {
  EXPECT_THAT(callers_->Find("Bearer bad", kPeer), HasReasonThat("API_KEY_INVALID"));
  const auto known = callers_->Known("Bearer bad", kPeer);
  ASSERT_TRUE(known.has_value());
  EXPECT_THAT(*known, HasReasonThat("API_KEY_INVALID"));
  // From loopback too: a typing error must not make its owner an administrator.
  EXPECT_THAT(callers_->Find("Bearer worse", "127.0.0.1:5000"), HasReasonThat("API_KEY_INVALID"));
}

TEST_F(RegistryCallersTest, OnlyLoopbackGetsInWithoutAKey) {
  for (const char* peer : {"127.0.0.1:5000", "::1:5000"}) {
    const auto known = callers_->Known("", peer);
    ASSERT_TRUE(known.has_value());
    ASSERT_OK(*known);
    EXPECT_EQ((*known)->project, "");
  }
  for (const char* peer : {kPeer, "fe80::1:5000", ""}) {
    EXPECT_THAT(*callers_->Known("", peer), HasReasonThat("API_KEY_MISSING")) << peer;
  }
}

TEST_F(RegistryCallersTest, WhileTheRegistryIsAwayOnlyKeysThatWereSeenAreLetIn) {
  registry_.down = true;
  EXPECT_THAT(callers_->Find("Bearer good", kPeer), HasReasonThat("SERVICE_UNAVAILABLE"));
  registry_.down = false;
  ASSERT_OK(callers_->Find("Bearer good", kPeer));
  registry_.down = true;
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const Caller caller, callers_->Find("Bearer good", kPeer));
  EXPECT_EQ(caller.limits.requests_per_minute, 7);
}

TEST_F(RegistryCallersTest, WhileItsDatabaseIsAwayOnlyKeysThatWereSeenAreLetIn) {
  authenticator_.down = true;
  EXPECT_THAT(callers_->Find("Bearer good", kPeer), HasReasonThat("SERVICE_UNAVAILABLE"));
  authenticator_.down = false;
  ASSERT_OK(callers_->Find("Bearer good", kPeer));
  EXPECT_THAT(callers_->Find("Bearer bad", kPeer), HasReasonThat("API_KEY_INVALID"));
  authenticator_.down = registry_.down = true;
  clock_.Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const Caller caller, callers_->Find("Bearer good", kPeer));
  EXPECT_EQ(caller.limits.requests_per_minute, 7);
  EXPECT_THAT(callers_->Find("Bearer bad", kPeer), HasReasonThat("SERVICE_UNAVAILABLE"));
}

TEST_F(RegistryCallersTest, WhoIsLetInFromHereIsNotRememberedForOthers) {
  ASSERT_OK(callers_->Find("Bearer anything-here", "127.0.0.1:5000"));
  EXPECT_TRUE(callers_->Known("Bearer anything-here", "127.0.0.1:5001").has_value());
  EXPECT_EQ(callers_->Known("Bearer anything-here", kPeer), std::nullopt);
}

}  // namespace
}  // namespace crossover::router
