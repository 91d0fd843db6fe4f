#include "common/pg/listener.h"

#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/pg_fixture.h"

namespace crossover::pg {
namespace {

// What a listener heard, in order.
class Heard {
 public:
  void Add(std::string_view channel, std::string_view payload) {
    absl::MutexLock lock(&mutex_);
    all_.push_back(std::string(channel) + ":" + std::string(payload));
  }
  bool WaitFor(const std::string& what, int times = 1) {
    absl::MutexLock lock(&mutex_);
    const auto seen = [&] { return std::count(all_.begin(), all_.end(), what) >= times; };
    return mutex_.AwaitWithTimeout(absl::Condition(&seen), absl::Seconds(20));
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> all_;
};

class ListenerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Listener> Listen(std::string dsn) {
    return Listener::Start(
        {.dsn = std::move(dsn),
         .channels = {"crossover_job", "other"},
         .reconnect_min = absl::Milliseconds(5)},
        [this](std::string_view channel, std::string_view payload) {
          heard_.Add(channel, payload);
        },
        logger_);
  }

  testing::PgDatabase db_;
  FakeLogger logger_;
  Heard heard_;
};

TEST_F(ListenerTest, HearsNotificationsOfItsChannelsAfterAFirstHint) {
  auto listener = Listen(db_.dsn());
  ASSERT_TRUE(heard_.WaitFor("crossover_job:"));
  ASSERT_TRUE(heard_.WaitFor("other:"));
  db_.Execute("SELECT pg_notify('crossover_job', 'default'), pg_notify('ignored', 'x')");
  EXPECT_TRUE(heard_.WaitFor("crossover_job:default"));
}

TEST_F(ListenerTest, ReconnectsWhenKilledAndHintsThatSomethingMayHaveBeenMissed) {
  auto listener = Listen(db_.dsn());
  ASSERT_TRUE(heard_.WaitFor("crossover_job:"));
  db_.Execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'crossover-listener'");
  ASSERT_TRUE(heard_.WaitFor("crossover_job:", 2));
  db_.Execute("SELECT pg_notify('crossover_job', 'again')");
  EXPECT_TRUE(heard_.WaitFor("crossover_job:again"));
}

TEST_F(ListenerTest, ADatabaseThatIsDownIsRetriedUntilStopped) {
  auto listener = Listen("host=/nonexistent");
  for (int i = 0; i < 2000 && logger_.Events("pg_listener_reconnect").size() < 3; ++i) {
    SystemClock().SleepFor(absl::Milliseconds(5));
  }
  EXPECT_GE(logger_.Events("pg_listener_reconnect").size(), 3u);
}

}  // namespace
}  // namespace crossover::pg
