// Whatever the shadow does, the primary's requests succeed and are not slowed.
#include <gmock/gmock.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "services/shadow_router/edge/edge_fixture.h"

namespace crossover::router {
namespace {

// A server without manners: does `on_connection` with each connection in turn, until stopped.
class RawServer {
 public:
  explicit RawServer(std::function<void(int fd)> on_connection)
      : on_connection_(std::move(on_connection)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      int fd = -1;
      while ((fd = accept(listener_, nullptr, nullptr)) >= 0) {
        on_connection_(fd);
        connections_.push_back(fd);
      }
    });
  }
  ~RawServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (int fd : connections_) close(fd);
  }
  std::string base_url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }

 private:
  std::function<void(int)> on_connection_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
  std::vector<int> connections_;
};

// Takes a little of the request, answers a little, and dies.
void CrashMidAnswer(int fd) {
  char buffer[4096];
  (void)!read(fd, buffer, sizeof buffer);
  constexpr std::string_view kStart =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"cho";
  (void)!write(fd, kStart.data(), kStart.size());
  shutdown(fd, SHUT_RDWR);
}

void NeverRead(int) {}

struct Trouble {
  const char* name;
  std::function<void(testing::FakeUpstream&)> make;
  void (*raw)(int fd) = nullptr;  // Instead: a server like this.
};

class IsolationTest : public EdgeFixture, public ::testing::WithParamInterface<Trouble> {
 protected:
  static constexpr int kRequests = 60;

  // Median time of requests one after the other; every one must succeed.
  absl::Duration MedianOf(int requests) {
    const std::string padding = ",\"padding\":\"" + std::string(20'000, 'x') + "\"";
    std::vector<absl::Duration> times;
    for (int i = 0; i < requests; ++i) {
      const absl::Duration before = clock_.SteadyNow();
      const auto response = Chat(padding + (i % 2 == 0 ? "" : R"(,"stream":true)"));
      times.push_back(clock_.SteadyNow() - before);
      EXPECT_EQ(response.status, 200);
      EXPECT_THAT(response.body, ::testing::HasSubstr("old"));
    }
    std::nth_element(times.begin(), times.begin() + requests / 2, times.end());
    return times[static_cast<size_t>(requests) / 2];
  }
};

TEST_P(IsolationTest, ThePrimaryDoesNotNotice) {
  Start({.max_queue_bytes = 200'000, .workers = 2, .timeout = absl::Seconds(2)});
  MedianOf(10);  // Connections are open.
  const absl::Duration alone = MedianOf(kRequests);
  std::unique_ptr<RawServer> raw;
  if (GetParam().raw != nullptr) {
    raw = std::make_unique<RawServer>(GetParam().raw);
    AddUpstream("new", raw->base_url());
  }
  StartExperiment(ExperimentState::kShadow);
  GetParam().make(new_);
  const absl::Duration with_shadow = MedianOf(kRequests);
  // A shadow on the answer's path would cost the 2 s of its timeout; the rest is the machine's
  // noise.
  EXPECT_LT(with_shadow, std::max(10 * alone, absl::Milliseconds(200)))
      << absl::FormatDuration(alone);
  EXPECT_LE(mirror_->queued_bytes(), 200'000);
  new_.Release();
  server_->Stop(absl::Seconds(5));
  mirror_->Stop();
  const LedgerCounts counts = books_.Held(kExperiment, 1);
  EXPECT_EQ(counts.sampled, kRequests);
  EXPECT_TRUE(counts.AddsUp());
  EXPECT_EQ(counts.in_flight, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shadow, IsolationTest,
    ::testing::Values(
        Trouble{"Healthy", [](testing::FakeUpstream&) {}},
        Trouble{"Stalled", [](testing::FakeUpstream& shadow) { shadow.SetReply({.stall = true}); }},
        Trouble{"Refusing", [](testing::FakeUpstream& shadow) { shadow.Stop(); }},
        Trouble{"Answering10MB",
                [](testing::FakeUpstream& shadow) {
                  shadow.SetReply({.raw_body = std::string(10 << 20, 'x')});
                }},
        Trouble{"Failing",
                [](testing::FakeUpstream& shadow) {
                  shadow.SetReply({.status = 500, .content = "no"});
                }},
        Trouble{"CrashingMidAnswer", [](testing::FakeUpstream&) {}, CrashMidAnswer},
        Trouble{"NeverReading", [](testing::FakeUpstream&) {}, NeverRead}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace crossover::router
