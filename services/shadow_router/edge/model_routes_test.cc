// Models that are called by their own name, and lists of them.
#include "services/shadow_router/edge/model_routes.h"

#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/status/error.h"
#include "services/shadow_router/edge/edge_fixture.h"

namespace crossover::router {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kTuned[] = "ft:base:default:acme:00000000";

class FakeModels final : public LocalModels {
 public:
  absl::StatusOr<std::string> Find(const std::string& project, const std::string& model) override {
    EXPECT_EQ(RequestContext::Current().project, project);
    if (project == "projects/default" && model == kTuned) return std::string(kTuned);
    if (model == absl::StrCat(kTuned, ":ckpt-step-4")) return std::string("sha256:step4");
    if (model == "base") return std::string("base");
    return Error(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "no such model");
  }
  absl::StatusOr<std::vector<LocalModelInfo>> List(const std::string&) override {
    return std::vector<LocalModelInfo>{{kTuned, absl::FromUnixSeconds(7)}, {"base", {}}};
  }
  absl::Status Delete(const std::string& project, const std::string& model) override {
    deleted = project + " " + model;
    return absl::OkStatus();
  }
  std::string deleted;
};

class ModelRoutesTest : public EdgeFixture {
 protected:
  void StartWithModels() {
    Start();
    server_->Stop();
    ChatHandler::Deps deps{*door_,      meter_,   table_, upstream_,      books_, *mirror_,
                           **redactor_, metrics_, ids_,   SystemRandom(), clock_, &routes_};
    chat_ = std::make_unique<ChatHandler>(ChatHandlerOptions{}, deps);
    server_ = std::make_unique<http::Server>(http::ServerOptions{}, logger_);
    AddOpenAiRoutes(*server_, {},
                    {*door_, *chat_, table_, store_, *flusher_, ids_, clock_, &models_});
    ASSERT_OK(server_->Start());
  }
  ~ModelRoutesTest() override {
    if (server_ != nullptr) server_->Stop();
    routes_.Stop();
  }

  http::ClientResponse Ask(const std::string& model) {
    return Post(
        "/v1/chat/completions",
        Json{{"model", model}, {"messages", {{{"role", "user"}, {"content", "q"}}}}}.dump());
  }

  FakeModels models_;
  // The upstream `new` plays the model server.
  ModelRoutes routes_{models_, catalog_, {.model_server_url = new_.base_url()}};
};

TEST_F(ModelRoutesTest, ATunedModelACheckpointAndABaseAnswerByTheirOwnNames) {
  StartWithModels();
  const std::pair<std::string, const char*> wire[] = {
      {kTuned, kTuned}, {absl::StrCat(kTuned, ":ckpt-step-4"), "sha256:step4"}, {"base", "base"}};
  size_t asked = 0;
  for (const auto& [model, name] : wire) {
    const http::ClientResponse response = Ask(model);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(ContentOf(response), "from new");
    ASSERT_EQ(new_.Requests().size(), ++asked);
    EXPECT_EQ(Json::parse(new_.Requests().back().body)["model"], name);
  }
  EXPECT_EQ(Ask("sorter").status, 200);  // a route is a route still
  EXPECT_EQ(old_.Requests().size(), 1u);
  EXPECT_THAT(registry_.Expose(), HasSubstr("route=\"models\""));
}

TEST_F(ModelRoutesTest, WhatIsNeitherIsRefusedWithTheRoutesThereAre) {
  StartWithModels();
  const http::ClientResponse response = Ask("gpt-9");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(ErrorOf(response)["param"], "model");
  EXPECT_THAT(ErrorOf(response).value("message", ""),
              HasSubstr(absl::StrCat(
                  "there is no route 'gpt-9'; there are: sorter; models by their own names: ",
                  kTuned, ", base")));
}

TEST_F(ModelRoutesTest, AKeyWithAListOfRoutesNeedsModelsInIt) {
  LetIn(std::make_unique<EveryoneIs>(
      Caller{.name = "key", .project = "projects/default", .routes = {"sorter"}}));
  StartWithModels();
  EXPECT_EQ(Ask(kTuned).status, 403);
  EXPECT_EQ(Json::parse(Get("/v1/models").body)["data"].size(), 1u);
}

TEST_F(ModelRoutesTest, ModelsAreListedReadAndDeleted) {
  StartWithModels();
  const Json listed = Json::parse(Get("/v1/models").body);
  ASSERT_EQ(listed["data"].size(), 3u);
  EXPECT_EQ(listed["data"][1],
            Json({{"id", kTuned}, {"object", "model"}, {"created", 7}, {"owned_by", "crossover"}}));
  EXPECT_EQ(Json::parse(Get(absl::StrCat("/v1/models/", kTuned)).body), listed["data"][1]);
  const auto deleted =
      client_.Send({.method = "DELETE", .url = Url(absl::StrCat("/v1/models/", kTuned))});
  ASSERT_OK(deleted);
  EXPECT_EQ(Json::parse(deleted->body),
            Json({{"id", kTuned}, {"object", "model"}, {"deleted", true}}));
  EXPECT_EQ(models_.deleted, absl::StrCat("projects/default ", kTuned));
}

}  // namespace
}  // namespace crossover::router
