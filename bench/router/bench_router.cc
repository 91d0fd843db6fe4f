// What the router adds to a request: p50 through it minus p50 direct, interleaved in the same run
// over one keep-alive connection each, against an in-process mock upstream. p99 on shared machines
// is noise and is not gated on.
//
// Usage: router [REQUESTS] (default 2000). Lines: `name value unit`.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/http/client.h"
#include "common/http/server.h"
#include "common/id/random.h"
#include "common/log/logger.h"
#include "common/testing/temp_dir.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/edge/openai_routes.h"
#include "services/shadow_router/upstream/http_upstream.h"

namespace crossover::router {
namespace {

constexpr char kAnswer[] =
    R"({"id":"chatcmpl-mock","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":)"
    R"({"role":"assistant","content":"{\"label\":\"refund\"}","refusal":null},"logprobs":null,"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":1200,"completion_tokens":14,"total_tokens":1214},"system_fingerprint":"fp"})";

double P50(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

std::string Body(const std::string& model) {
  return R"({"model":")" + model + R"(","messages":[{"role":"system","content":")" +
         std::string(1024, 'x') + R"("},{"role":"user","content":"hi"}],"temperature":0})";
}

// Microseconds of one request; exits on an error, for a figure with errors in it is none.
double Time(http::Client& client, const std::string& url, const std::string& body) {
  Clock& clock = SystemClock();
  const absl::Duration before = clock.SteadyNow();
  const auto response = client.Send({.method = "POST",
                                     .url = url,
                                     .headers = {{"Content-Type", "application/json"}},
                                     .body = body});
  if (!response.ok() || response->status != 200) {
    std::fprintf(stderr, "request failed: %s\n",
                 response.ok() ? response->body.c_str() : response.status().ToString().c_str());
    std::exit(1);
  }
  return absl::ToDoubleMicroseconds(clock.SteadyNow() - before);
}

int Run(int requests) {
  Clock& clock = SystemClock();
  const std::unique_ptr<Logger> logger =
      NewJsonLogger({.service = "bench", .level = LogLevel::kError}, clock);
  http::Server mock({}, *logger);
  mock.Handle("POST", "/v1/chat/completions",
              [](const http::Request&) { return http::Response::Json(200, kAnswer); });
  if (!mock.Start().ok()) return 1;
  const std::string direct =
      "http://127.0.0.1:" + std::to_string(mock.port()) + "/v1/chat/completions";

  FakeRouterStore store;
  FakeCatalog catalog;
  RoutingTableHolder table;
  ExperimentControl control(
      {store,
       catalog,
       clock,
       *logger,
       table,
       {.model_server_url = "http://127.0.0.1:" + std::to_string(mock.port()) + "/v1"}});
  Route route{
      .name = "projects/default/routes/bench", .primary = "a", .salt = "s", .shadow_salt = "t"};
  route.variants["a"] = {.model = {.kind = ModelRef::Kind::kBaseModel, .model = "m"}};
  if (!store.CreateRoute(route, "", clock.Now()).ok() || !control.Reload(true).ok()) return 1;

  const testing::TempDir folder;
  const auto journal = Journal::Open((folder / "journal").string(), 1 << 20);
  const auto redactor = Redactor::Create();
  if (!journal.ok() || !redactor.ok()) return 1;
  metrics::Registry registry("bench");
  RouterMetrics router_metrics(registry);
  UuidGenerator ids(clock, SystemRandom());
  Books books("bench", "1", clock);
  Flusher flusher(books, store, **journal, *logger);
  Breakers breakers({}, clock);
  BudgetMeter budget(clock);
  AsyncUpstream upstream({}, {}, clock);
  HttpUpstream shadow({}, clock);
  Mirror mirror({}, {shadow, books, breakers, budget, **redactor, clock});
  EveryoneIs everyone({.name = "bench"});
  KeyMeter meter(clock);
  Door door(everyone, meter);
  ChatHandler chat({}, {door, meter, table, upstream, books, mirror, **redactor, router_metrics,
                        ids, SystemRandom(), clock});
  http::Server server({}, *logger);
  AddOpenAiRoutes(server, {}, {door, chat, table, store, flusher, ids, clock});
  if (!server.Start().ok()) return 1;
  const std::string routed =
      "http://127.0.0.1:" + std::to_string(server.port()) + "/v1/chat/completions";

  http::Client client;
  const std::string direct_body = Body("m"), routed_body = Body("bench");
  std::vector<double> direct_times, routed_times;
  for (int i = 0; i < requests + requests / 10; ++i) {
    const double a = Time(client, direct, direct_body);
    const double b = Time(client, routed, routed_body);
    if (i < requests / 10) continue;  // Warm-up.
    direct_times.push_back(a);
    routed_times.push_back(b);
  }
  const double direct_p50 = P50(std::move(direct_times)), routed_p50 = P50(std::move(routed_times));
  std::printf("router.direct_p50 %.0f us\nrouter.routed_p50 %.0f us\nrouter.added_p50 %.0f us\n",
              direct_p50, routed_p50, routed_p50 - direct_p50);
  return 0;
}

}  // namespace
}  // namespace crossover::router

int main(int argc, char** argv) {
  return crossover::router::Run(argc > 1 ? std::max(10, std::atoi(argv[1])) : 2'000);
}
