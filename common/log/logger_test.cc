#include "common/log/logger.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/context/request_context.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"

namespace crossover {
namespace {

class LoggerTest : public ::testing::Test {
 protected:
  LoggerTest() { EXPECT_EQ(::pipe(pipe_), 0); }
  ~LoggerTest() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }

  // What was written so far.
  std::string Written() {
    char buffer[4096];
    const ssize_t n = ::read(pipe_[0], buffer, sizeof(buffer));
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "";
  }

  int pipe_[2];
  FakeClock clock_;
};

TEST_F(LoggerTest, WritesOneJsonLineWithTypedFieldsAndTheTrace) {
  auto logger = NewJsonLogger({.service = "scheduler", .fd = pipe_[1]}, clock_);
  ScopedContext scope(RequestContext{.trace_id = "0af7651916cd43dd8448eb211c80319c"});
  logger->Info("job_state", {{"job", "06b"},
                             {"epoch", 3},
                             {"ratio", 0.5},
                             {"last", true},
                             {"wait", absl::Milliseconds(1500)},
                             {"status", absl::NotFoundError("no job")}});
  const std::string text = Written();
  ASSERT_TRUE(text.ends_with("}\n"));
  const nlohmann::json line = nlohmann::json::parse(text);
  EXPECT_EQ(line.at("event"), "job_state");
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("service"), "scheduler");
  EXPECT_EQ(line.at("epoch"), 3);
  EXPECT_EQ(line.at("ratio"), 0.5);
  EXPECT_EQ(line.at("last"), true);
  EXPECT_EQ(line.at("wait"), 1.5);
  EXPECT_EQ(line.at("status"), "NOT_FOUND: no job");
  EXPECT_EQ(line.at("trace_id"), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(line.at("time"), "2027-01-15T08:00:00.000000Z");
}

TEST_F(LoggerTest, EventsBelowTheLevelAreNotWritten) {
  auto logger =
      NewJsonLogger({.service = "s", .level = LogLevel::kWarning, .fd = pipe_[1]}, clock_);
  logger->Info("quiet");
  logger->Write(LogLevel::kInfo, "quiet", {});
  logger->Error("loud");
  EXPECT_EQ(nlohmann::json::parse(Written()).at("event"), "loud");
}

TEST_F(LoggerTest, BytesThatAreNotUtf8DoNotLoseTheEvent) {
  auto logger = NewJsonLogger({.service = "s", .fd = pipe_[1]}, clock_);
  logger->Info("odd", {{"name", "\xff\xfe"}});
  EXPECT_EQ(nlohmann::json::parse(Written()).at("event"), "odd");
}

TEST_F(LoggerTest, LevelNamesAreParsedOrRefused) {
  LogLevel level = LogLevel::kInfo;
  EXPECT_OK(ParseLogLevel("debug", &level));
  EXPECT_EQ(level, LogLevel::kDebug);
  EXPECT_THAT(ParseLogLevel("loud", &level), HasReasonThat("CONFIG_INVALID"));
}

TEST_F(LoggerTest, ScopesOfTheContextNest) {
  EXPECT_EQ(RequestContext::Current().trace_id, "");
  {
    ScopedContext outer(
        RequestContext{.deadline = clock_.SteadyNow() + absl::Seconds(3), .trace_id = "a"});
    {
      ScopedContext inner(RequestContext{.trace_id = "b"});
      EXPECT_EQ(RequestContext::Current().trace_id, "b");
      EXPECT_EQ(RequestContext::Current().Remaining(clock_), absl::InfiniteDuration());
    }
    EXPECT_EQ(RequestContext::Current().trace_id, "a");
    clock_.Advance(absl::Seconds(1));
    EXPECT_EQ(RequestContext::Current().Remaining(clock_), absl::Seconds(2));
    clock_.Advance(absl::Seconds(9));
    EXPECT_EQ(RequestContext::Current().Remaining(clock_), absl::ZeroDuration());
  }
  EXPECT_EQ(RequestContext::Current().trace_id, "");
}

TEST_F(LoggerTest, FakeKeepsFields) {
  FakeLogger logger;
  logger.Warning("lease_lost", {{"epoch", 4}, {"why", "expired"}});
  ASSERT_EQ(logger.Events("lease_lost").size(), 1u);
  EXPECT_EQ(logger.Events("lease_lost")[0].Field("epoch"), "4");
  EXPECT_EQ(logger.Events("lease_lost")[0].Field("why"), "expired");
}

}  // namespace
}  // namespace crossover
