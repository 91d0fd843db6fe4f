#include "common/rpc/channel.h"

#include <gtest/gtest.h>

#include "common/rpc/echo_fixture.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

// Time that passes only by sleeping, and sleeping takes no time.
class SleepyClock final : public Clock {
 public:
  absl::Time Now() override { return absl::UnixEpoch() + steady_; }
  absl::Duration SteadyNow() override { return steady_; }
  void SleepFor(absl::Duration duration) override {
    steady_ += duration;
    ++sleeps;
  }
  int sleeps = 0;

 private:
  absl::Duration steady_ = absl::Seconds(1000);
};

class RunCallTest : public ::testing::Test {
 protected:
  absl::Status Run(CallOptions options, std::vector<grpc::StatusCode> answers) {
    options.clock = &clock_;
    attempts_ = 0;
    return RunCall(options, [&](grpc::ClientContext*) {
      const size_t i = std::min<size_t>(attempts_++, answers.size() - 1);
      return answers[i] == grpc::StatusCode::OK ? grpc::Status::OK : grpc::Status(answers[i], "no");
    });
  }

  SleepyClock clock_;
  size_t attempts_ = 0;
};

TEST_F(RunCallTest, IdempotentCallsAreTriedAgainWhenUnavailable) {
  using grpc::StatusCode;
  EXPECT_OK(Run({.idempotent = true},
                {StatusCode::UNAVAILABLE, StatusCode::UNAVAILABLE, StatusCode::OK}));
  EXPECT_EQ(attempts_, 3u);
  EXPECT_EQ(clock_.sleeps, 2);
}

TEST_F(RunCallTest, OthersAreNot) {
  using grpc::StatusCode;
  EXPECT_THAT(Run({}, {StatusCode::UNAVAILABLE, StatusCode::OK}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(attempts_, 1u);
  EXPECT_THAT(Run({.idempotent = true}, {StatusCode::ABORTED, StatusCode::OK}),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(attempts_, 1u);
}

TEST_F(RunCallTest, AttemptsAndTimeAreBounded) {
  using grpc::StatusCode;
  EXPECT_THAT(Run({.idempotent = true, .max_attempts = 3}, {StatusCode::UNAVAILABLE}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(attempts_, 3u);
  const absl::Duration start = clock_.SteadyNow();
  EXPECT_FALSE(Run({.timeout = absl::Seconds(5), .idempotent = true, .max_attempts = 1000},
                   {StatusCode::UNAVAILABLE})
                   .ok());
  EXPECT_LE(clock_.SteadyNow() - start, absl::Seconds(5));
}

TEST_F(RunCallTest, ACallerWhoseTimeIsUpDoesNotCall) {
  ScopedContext scope(RequestContext{.deadline = clock_.SteadyNow()});
  EXPECT_THAT(Run({}, {grpc::StatusCode::OK}), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(attempts_, 0u);
}

class ChannelTest : public EchoFixture {};

TEST_F(ChannelTest, NobodyThereIsUnavailable) {
  auto stub = pb::EchoService::NewStub(NewChannel("127.0.0.1:1"));
  EXPECT_THAT(Invoke(*stub, &pb::EchoService::Stub::Echo, pb::EchoRequest()).status(),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ChannelTest, DeadlineOfTheRequestInProgressBoundsTheCallsItMakes) {
  Start();
  service_->echo = [&](const Call& call, const pb::EchoRequest&, pb::EchoResponse&) {
    for (int i = 0; i < 2000 && !call.cancelled(); ++i)
      SystemClock().SleepFor(absl::Milliseconds(5));
    return absl::OkStatus();
  };
  ScopedContext scope(
      RequestContext{.deadline = SystemClock().SteadyNow() + absl::Milliseconds(100)});
  EXPECT_THAT(Echo("x", {.timeout = absl::Seconds(60)}).status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace crossover::rpc
