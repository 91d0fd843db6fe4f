// The whole module over real gRPC and HTTP, with a fake engine. For tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/http/client.h"
#include "common/http/sse.h"
#include "common/log/fake_logger.h"
#include "common/rpc/channel.h"
#include "common/rpc/error_mapper.h"
#include "common/rpc/server.h"
#include "crossover/inference/v1/inference_service.grpc.pb.h"
#include "services/model_server/domain/model_fixture.h"
#include "services/model_server/module.h"

namespace crossover::inference {

namespace pb = ::crossover::inference::v1;
using nlohmann::json;

class ModuleTest : public ModelFixture {
 protected:
  // A module that has not started.
  void Make(Options options) {
    auto loader = std::make_unique<FakeBaseLoader>();
    fakes_ = loader.get();
    options.http_address = "127.0.0.1:0";
    options.scratch = folder_ / "scratch";
    options.drain_timeout = absl::Seconds(1);
    auto module = Module::Create(options,
                                 {.blobs = *blobs_,
                                  .clock = SystemClock(),
                                  .random = random_,
                                  .registry = registry_,
                                  .logger = logger_,
                                  .authenticator = authenticator_},
                                 std::move(loader));
    ASSERT_OK(module);
    module_ = *std::move(module);
  }

  void Start(Options options = {}) {
    options.models = {"small=" + base_};
    Make(options);
    auto server =
        rpc::Server::Start({.addresses = {"127.0.0.1:0"}, .drain_timeout = absl::Seconds(2)},
                           {module_.get()}, logger_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    stub_ = pb::InferenceService::NewStub(
        rpc::NewChannel("127.0.0.1:" + std::to_string(server_->port())));
    pb::LoadModelRequest request;  // Waits for the one that loads in the background.
    request.set_digest(base_);
    ASSERT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::LoadModel, request));
    // If this load came first, the one in the background has yet to give the model its name.
    while (!Named("small")) std::this_thread::yield();
    while (!module_->Ready().ok()) std::this_thread::yield();  // It has answered, too.
  }

  bool Named(const std::string& alias) {
    const auto list = rpc::Invoke(*stub_, &pb::InferenceService::Stub::ListLoadedModels,
                                  pb::ListLoadedModelsRequest());
    if (!list.ok()) return false;
    for (const pb::LoadedModel& model : list->loaded_models()) {
      if (std::find(model.aliases().begin(), model.aliases().end(), alias) != model.aliases().end())
        return true;
    }
    return false;
  }

  void TearDown() override {
    if (fakes_ != nullptr && fakes_->engine(base_) != nullptr) fakes_->engine(base_)->Release();
    if (server_ != nullptr) server_->Stop();
  }

  FakeEngine& fake() { return *fakes_->engine(base_); }

  std::string Url(const std::string& path) {
    return "http://127.0.0.1:" + std::to_string(module_->http_port()) + path;
  }

  http::ClientResponse Post(const json& body, http::Headers headers = {},
                            const std::string& path = "/v1/chat/completions") {
    return PostText(path, body.dump(), std::move(headers));
  }

  http::ClientResponse PostText(const std::string& path, std::string body,
                                http::Headers headers = {}) {
    auto response = client_.Send({.method = "POST",
                                  .url = Url(path),
                                  .headers = std::move(headers),
                                  .body = std::move(body)});
    EXPECT_OK(response);
    return response.ok() ? *response : http::ClientResponse{};
  }

  static json Chat(const std::string& model = "small") {
    return {{"model", model}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  }

  static pb::GenerateRequest Generate(const std::string& model = "small") {
    pb::GenerateRequest request;
    request.set_model(model);
    auto* message = request.mutable_chat()->add_messages();
    message->set_role("user");
    message->set_content("hi");
    return request;
  }

  // The data of every event of a streamed answer.
  std::vector<std::string> Stream(json body, const std::string& path = "/v1/chat/completions") {
    body["stream"] = true;
    http::SseParser parser;
    std::vector<std::string> data;
    const absl::Status status = client_.Stream(
        {.method = "POST", .url = Url(path), .body = body.dump()},
        [](const http::ClientResponse& head) {
          EXPECT_EQ(head.status, 200);
          EXPECT_EQ(head.headers.Get("content-type"), "text/event-stream");
          return true;
        },
        [&](std::string_view piece) {
          for (const http::SseEvent& event : parser.Feed(piece)) data.push_back(event.data);
          return true;
        });
    EXPECT_OK(status);
    EXPECT_FALSE(parser.Incomplete());
    return data;
  }

  metrics::Registry registry_{"model-server"};
  FakeLogger logger_;
  rpc::Authenticator* authenticator_ = nullptr;  // everyone is ADMIN
  FakeBaseLoader* fakes_ = nullptr;
  std::unique_ptr<Module> module_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<pb::InferenceService::Stub> stub_;
  http::Client client_;
};

}  // namespace crossover::inference
