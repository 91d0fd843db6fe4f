// Whatever the shadow does, the primary's requests succeed and are not slowed.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "services/shadow_router/edge/edge_fixture.h"
#include "services/shadow_router/edge/raw_server.h"

namespace crossover::router {
namespace {

// Takes a little of the request, answers a little, and dies.
void CrashMidAnswer(int fd) {
  Saying("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"cho")(
      fd);
  shutdown(fd, SHUT_RDWR);
}

void NeverRead(int) {}

struct Trouble {
  const char* name;
  std::function<void(testing::FakeUpstream&)> make;
  void (*raw)(int fd) = nullptr;  // Instead: a server like this.
  bool stopped = false;           // Instead: a process under SIGSTOP.
  // Of a request. What is larger than the sockets' buffers makes the mirror wait while it sends.
  size_t padding = 20'000;
  int requests = 60;
  int warm_up = 10;  // Until connections are open.
};

class IsolationTest : public EdgeFixture, public ::testing::WithParamInterface<Trouble> {
 protected:
  // The same model behind a route that nothing is mirrored from: what the other is held against, at
  // the same moments.
  void AddPlainRoute() {
    Route route = *store_.GetRoute(kRoute);
    route.name = "projects/default/routes/plain";
    ASSERT_OK(store_.CreateRoute(route, "", clock_.Now()));
    ASSERT_OK(control_.Reload(true));
  }

  absl::Duration Time(const std::string& route, int i) {
    const std::string body =
        R"({"model":")" + route + R"(","messages":[{"role":"user","content":"q"}],"padding":")" +
        std::string(GetParam().padding, 'x') + "\"" + (i % 2 == 0 ? "}" : R"(,"stream":true})");
    const absl::Duration before = clock_.SteadyNow();
    const auto response = Post("/v1/chat/completions", body);
    const absl::Duration took = clock_.SteadyNow() - before;
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.body, ::testing::HasSubstr("old"));
    return took;
  }

  static absl::Duration Median(std::vector<absl::Duration> times) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }
};

TEST_P(IsolationTest, ThePrimaryDoesNotNotice) {
  const Trouble& trouble = GetParam();
  const size_t queue = 4 * (trouble.padding + 1'000);
  Start({.max_queue_bytes = queue,
         .max_item_bytes = queue,
         .workers = 2,
         .timeout = absl::Seconds(2)});
  std::unique_ptr<RawServer> raw;
  std::unique_ptr<StoppedProcess> stopped;
  if (trouble.raw != nullptr) {
    raw = std::make_unique<RawServer>(trouble.raw);
    AddUpstream("new", raw->base_url());
  }
  if (trouble.stopped) {
    stopped = std::make_unique<StoppedProcess>();
    AddUpstream("new", stopped->base_url());
  }
  AddPlainRoute();
  StartExperiment(ExperimentState::kShadow);
  trouble.make(new_);

  // Another client keeps the mirror and its queue busy meanwhile.
  std::atomic<bool> stop = false;
  std::atomic<int64_t> loaded = 0;
  std::thread load([&] {
    http::Client client;
    while (!stop) {
      const auto response = client.Send(
          {.method = "POST",
           .url = Url("/v1/chat/completions"),
           .body =
               R"({"model":"sorter","messages":[{"role":"user","content":"load"}],"padding":")" +
               std::string(trouble.padding, 'x') + "\"}"});
      if (response.ok() && response->status == 200) ++loaded;
    }
  });
  std::vector<absl::Duration> mirrored, plain;
  for (int i = 0; i < trouble.warm_up + trouble.requests; ++i) {
    const absl::Duration a = Time("sorter", i), b = Time("plain", i);
    if (i < trouble.warm_up) continue;
    mirrored.push_back(a);
    plain.push_back(b);
  }
  stop = true;
  load.join();
  // Interleaved medians take the machine's noise out. A shadow on the answer's path costs the 2 s
  // of its timeout, a queue that blocks some tenths of a second.
  const absl::Duration alone = Median(plain), with_shadow = Median(mirrored);
  EXPECT_LT(with_shadow - alone, std::max(alone, absl::Milliseconds(5)))
      << absl::FormatDuration(alone) << " alone, " << absl::FormatDuration(with_shadow)
      << " with the shadow";
  EXPECT_LE(mirror_->queued_bytes(), queue);
  new_.Release();
  server_->Stop(absl::Seconds(5));
  mirror_->Stop();
  const LedgerCounts counts = books_.Held(kExperiment, 1);
  EXPECT_EQ(counts.sampled, trouble.warm_up + trouble.requests + loaded);
  EXPECT_TRUE(counts.AddsUp());
  EXPECT_EQ(counts.in_flight, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shadow, IsolationTest,
    ::testing::Values(
        Trouble{"Healthy", [](testing::FakeUpstream&) {}},
        Trouble{"Stalled", [](testing::FakeUpstream& shadow) { shadow.SetReply({.stall = true}); }},
        Trouble{.name = "StoppedBySignal", .make = [](testing::FakeUpstream&) {}, .stopped = true},
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
        Trouble{"NeverReading", [](testing::FakeUpstream&) {}, NeverRead},
        Trouble{.name = "NeverReadingMoreThanTheSocketsHold",
                .make = [](testing::FakeUpstream&) {},
                .raw = NeverRead,
                .padding = 12 << 20,
                .requests = 3,
                .warm_up = 1}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace crossover::router
