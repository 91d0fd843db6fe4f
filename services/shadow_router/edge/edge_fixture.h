// The whole data plane on loopback for tests: fake upstreams, real HTTP, books and mirror, no
// database.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/http/client.h"
#include "common/http/server.h"
#include "common/id/random.h"
#include "common/log/fake_logger.h"
#include "common/testing/fake_upstream.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/edge/openai_routes.h"
#include "services/shadow_router/upstream/http_upstream.h"

namespace crossover::router {

// Route `sorter`: variant `old` at upstream `old`, `new` at upstream `new`; `old` is primary.
class EdgeFixture : public ::testing::Test {
 protected:
  static constexpr char kRoute[] = "projects/default/routes/sorter";
  static constexpr char kExperiment[] = "projects/default/experiments/e1";

  EdgeFixture() {
    old_.SetReply({.content = "from old"});
    new_.SetReply({.content = "from new"});
    AddUpstream("old", old_.base_url());
    AddUpstream("new", new_.base_url());
    Route route{.name = kRoute, .primary = "old", .salt = "s", .shadow_salt = "t"};
    for (const char* name : {"old", "new"}) {
      route.variants[name] = {
          .model = {.model = std::string("m-") + name,
                    .upstream = std::string("projects/default/upstreams/") + name}};
    }
    EXPECT_OK(store_.CreateRoute(route, "", clock_.Now()));
    EXPECT_OK(control_.Reload(true));
    auto journal = Journal::Open((folder_ / "journal").string(), 1 << 20);
    EXPECT_OK(journal);
    journal_ = *std::move(journal);
    flusher_ = std::make_unique<Flusher>(books_, store_, *journal_, logger_);
  }
  ~EdgeFixture() override {
    if (door_ != nullptr) door_->Stop();
    if (server_ != nullptr) server_->Stop();
    upstream_.Close();
    server_.reset();
    if (mirror_ != nullptr) mirror_->Stop();
  }

  void AddUpstream(const std::string& name, const std::string& url,
                   absl::Duration timeout = absl::Seconds(20)) {
    catalog_.Put("projects/default/upstreams/" + name, UpstreamInfo{.name = name,
                                                                    .base_url = url,
                                                                    .api_key = "sk-" + name,
                                                                    .prices = {1, 1, 2},
                                                                    .timeout = timeout});
  }

  // Who is let in; before Start. Everyone, if nothing else is said.
  void LetIn(std::unique_ptr<Callers> callers) { callers_ = std::move(callers); }

  void Start(MirrorOptions mirror = {}, OpenAiRoutesOptions routes = {}) {
    door_ = std::make_unique<Door>(*callers_, meter_);
    mirror_ = std::make_unique<Mirror>(
        mirror,
        Mirror::Deps{shadow_upstream_, books_, mirror_breakers_, budget_, **redactor_, clock_});
    mirror_->Start();
    chat_ = std::make_unique<ChatHandler>(
        ChatHandlerOptions{},
        ChatHandler::Deps{*door_, meter_, table_, upstream_, books_, *mirror_, **redactor_,
                          metrics_, ids_, SystemRandom(), clock_});
    server_ = std::make_unique<http::Server>(http::ServerOptions{}, logger_);
    AddOpenAiRoutes(*server_, routes, {*door_, *chat_, table_, store_, *flusher_, ids_, clock_});
    ASSERT_OK(server_->Start());
  }

  // Puts an experiment in this state over the route.
  void StartExperiment(ExperimentState state, double weight = 0.5) {
    Experiment experiment{
        .name = kExperiment, .route = kRoute, .baseline = "old", .candidate = "new"};
    experiment.steps = {{.weight = weight}, {.weight = 1}};
    ASSERT_OK(store_.CreateExperiment(experiment, "", clock_.Now()));
    experiment.state = state;
    experiment.comparison = 1;
    Route route = *store_.GetRoute(kRoute);
    route.variants["old"].model.model = "m-old";
    experiment.provenance =
        ResolveRoute(route, experiment, catalog_, {})->CurrentProvenance().Key();
    ASSERT_OK(store_.ApplyTransition(
        experiment, {.experiment = kExperiment, .sequence = 1, .to = state, .words = "test"}, ""));
    ASSERT_OK(control_.Reload(true));
  }

  // Until `done` holds, 10 s at most: what follows an answer happens after the client has it.
  bool Eventually(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000; ++i) {
      if (done()) return true;
      clock_.SleepFor(absl::Milliseconds(1));
    }
    return false;
  }
  // Until every sampled request is booked.
  void Settle() {
    EXPECT_TRUE(Eventually([this] { return books_.Held(kExperiment, 1).in_flight == 0; }));
  }

  std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + path;
  }

  http::ClientResponse Post(const std::string& path, const std::string& body,
                            http::Headers headers = {}) {
    headers.Set("Content-Type", "application/json");
    headers.Set("Authorization", "Bearer sk-of-the-client");
    auto response = client_.Send({.method = "POST",
                                  .url = Url(path),
                                  .headers = headers,
                                  .body = body,
                                  .timeout = absl::Seconds(30)});
    EXPECT_OK(response);
    return response.ok() ? *response : http::ClientResponse{};
  }
  http::ClientResponse Chat(const std::string& extra = "", http::Headers headers = {}) {
    return Post("/v1/chat/completions",
                R"({"model":"sorter","messages":[{"role":"user","content":"q"}])" + extra + "}",
                std::move(headers));
  }
  http::ClientResponse Get(const std::string& path) {
    auto response = client_.Send({.method = "GET", .url = Url(path)});
    EXPECT_OK(response);
    return response.ok() ? *response : http::ClientResponse{};
  }
  static std::string ContentOf(const http::ClientResponse& response) {
    const auto json = nlohmann::json::parse(response.body, nullptr, false);
    return json.is_object() && json.contains("choices")
               ? json["choices"][0]["message"]["content"].get<std::string>()
               : response.body;
  }
  static nlohmann::json ErrorOf(const http::ClientResponse& response) {
    const auto json = nlohmann::json::parse(response.body, nullptr, false);
    return json.is_object() ? json.value("error", nlohmann::json()) : nlohmann::json();
  }

  Clock& clock_ = SystemClock();
  FakeLogger logger_;
  testing::TempDir folder_;
  testing::FakeUpstream old_, new_;
  FakeRouterStore store_;
  FakeCatalog catalog_;
  RoutingTableHolder table_;
  ExperimentControl control_{
      {store_, catalog_, clock_, logger_, table_, {.model_server_url = new_.base_url()}}};
  Books books_{"i", "1", clock_};
  Breakers mirror_breakers_{{}, clock_};
  BudgetMeter budget_{clock_};
  absl::StatusOr<std::unique_ptr<Redactor>> redactor_ = Redactor::Create();
  metrics::Registry registry_{"router"};
  RouterMetrics metrics_{registry_};
  UuidGenerator ids_{clock_, SystemRandom()};
  AsyncUpstream upstream_{{.connect_timeout = absl::Seconds(2)}, {}, clock_};
  HttpUpstream shadow_upstream_{{.connect_timeout = absl::Seconds(2)}, clock_};
  std::unique_ptr<Callers> callers_ = std::make_unique<EveryoneIs>(Caller{.name = "test"});
  KeyMeter meter_{clock_};
  std::unique_ptr<Door> door_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<Mirror> mirror_;
  std::unique_ptr<ChatHandler> chat_;
  std::unique_ptr<http::Server> server_;
  http::Client client_;
};

}  // namespace crossover::router
