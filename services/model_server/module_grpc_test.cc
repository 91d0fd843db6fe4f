// The whole module over real gRPC, with a fake engine.
#include "services/model_server/module_fixture.h"

#include <string>
#include <string_view>
#include <thread>

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ModuleTest, AGrpcStreamCarriesPiecesUsageAndFingerprint) {
  Start();
  grpc::ClientContext context;
  rpc::PrepareContext(context, {});
  pb::GenerateRequest request = Generate();
  request.mutable_sampling()->set_logprobs(1);
  const auto reader = stub_->Generate(&context, request);
  pb::GenerateResponse piece;
  std::string text, finish, fingerprint;
  int logprobs = 0;
  while (reader->Read(&piece)) {
    text += piece.text();
    finish += piece.finish_reason();
    fingerprint += piece.system_fingerprint();
    logprobs += piece.logprobs_size();
  }
  EXPECT_OK(rpc::FromGrpc(reader->Finish()));
  EXPECT_EQ(text, "hello");
  EXPECT_EQ(finish, "stop");
  EXPECT_EQ(fingerprint, base_);
  EXPECT_EQ(logprobs, 5);
  EXPECT_EQ(piece.usage().output(), 5);
}

TEST_F(ModuleTest, ACancelledGrpcCallFreesItsSlot) {
  Start();
  fake().Hold();
  grpc::ClientContext context;
  rpc::PrepareContext(context, {});
  const auto reader = stub_->Generate(&context, Generate());
  pb::GenerateResponse piece;
  ASSERT_TRUE(reader->Read(&piece));
  context.TryCancel();
  EXPECT_TRUE(fake().WaitForCancelled(1));
  while (reader->Read(&piece)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ModuleTest, ABatchIsAnsweredInOrderAndFailsAsAWhole) {
  Start();
  fake().SetAnswer([](const llm::GenerateRequest& request) {
    return std::string(request.sampling.max_tokens == 2 ? "xx" : "y");
  });
  pb::GenerateBatchRequest request;
  *request.add_requests() = Generate();
  request.mutable_requests(0)->mutable_sampling()->set_max_tokens(2);
  *request.add_requests() = Generate();
  auto response = rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request);
  ASSERT_OK(response);
  EXPECT_EQ(response->results(0).answers(0).text(), "xx");
  EXPECT_EQ(response->results(1).answers(0).text(), "y");
  EXPECT_EQ(response->results(1).system_fingerprint(), base_);
  *request.add_requests() = Generate("nobody");
  const absl::Status failed =
      rpc::Invoke(*stub_, &pb::InferenceService::Stub::GenerateBatch, request).status();
  EXPECT_THAT(failed, HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("requests[2]"));
}

TEST_F(ModuleTest, ScoresTokensAndRenderingsComeOverGrpc) {
  Start();
  pb::ScoreRequest score;
  score.set_model("small");
  score.set_per_token(true);
  score.add_items()->set_text("ab");
  score.mutable_items(0)->add_continuations("cd");
  score.mutable_items(0)->add_continuations("dc");
  auto scores = rpc::Invoke(*stub_, &pb::InferenceService::Stub::Score, score);
  ASSERT_OK(scores);
  EXPECT_EQ(scores->results(0).continuations(0).logprob(), -1.0);
  EXPECT_EQ(scores->results(0).continuations(0).tokens(1).text(), "d");
  EXPECT_TRUE(scores->results(0).continuations(0).greedy());
  EXPECT_FALSE(scores->results(0).continuations(1).greedy());
  pb::TokenizeRequest tokenize;
  tokenize.set_model("small");
  tokenize.add_texts("ab");
  auto tokens = rpc::Invoke(*stub_, &pb::InferenceService::Stub::Tokenize, tokenize);
  ASSERT_OK(tokens);
  EXPECT_THAT(tokens->results(0).ids(), ElementsAre('a', 'b'));
  pb::RenderChatRequest render;
  render.set_model("small");
  *render.mutable_chat() = Generate().chat();
  render.set_add_generation_prompt(true);
  auto rendered = rpc::Invoke(*stub_, &pb::InferenceService::Stub::RenderChat, render);
  ASSERT_OK(rendered);
  EXPECT_EQ(rendered->text(), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(rendered->tokens_size(), rendered->assistant_mask_size());
}

TEST_F(ModuleTest, AdaptersAreLoadedListedPinnedAndUnloadedOverGrpc) {
  Start();
  const std::string adapter = Adapter("one", base_);
  pb::LoadAdapterRequest load;
  load.set_digest(adapter);
  load.add_aliases("ft:small:default:x:12345678");
  load.set_pinned(true);
  auto loaded = rpc::Invoke(*stub_, &pb::InferenceService::Stub::LoadAdapter, load);
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->state(), pb::LoadedModel::READY);
  EXPECT_EQ(loaded->rank(), 4);
  EXPECT_EQ(Post(Chat("ft:small:default:x:12345678")).status, 200);
  auto list = rpc::Invoke(*stub_, &pb::InferenceService::Stub::ListLoadedModels, {});
  ASSERT_OK(list);
  EXPECT_EQ(list->loaded_models_size(), 2);
  EXPECT_EQ(list->loaded_models(1).base_digest(), base_);
  pb::UnloadAdapterRequest unload;
  unload.set_model(adapter);
  EXPECT_THAT(rpc::Invoke(*stub_, &pb::InferenceService::Stub::UnloadAdapter, unload).status(),
              HasReasonThat("ADAPTER_IN_USE"));
  pb::PinAdapterRequest pin;
  pin.set_model(adapter);
  ASSERT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::PinAdapter, pin));
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::UnloadAdapter, unload));
  EXPECT_TRUE(fake().Adapters().empty());
}

TEST_F(ModuleTest, ACancelledScoreFreesItsSlotAndIsCounted) {
  Start();
  fake().Hold();
  grpc::ClientContext context;
  rpc::PrepareContext(context, {});
  pb::ScoreRequest request;
  request.set_model("small");
  request.add_items()->set_text("ab");
  request.mutable_items(0)->add_continuations("cd");
  pb::ScoreResponse response;
  std::thread caller(
      [&] { EXPECT_EQ(stub_->Score(&context, request, &response).error_code(), grpc::CANCELLED); });
  while (fake().Stats().running == 0) std::this_thread::yield();
  context.TryCancel();
  caller.join();
  EXPECT_TRUE(fake().WaitForCancelled(1));
  fake().Release();
  EXPECT_OK(rpc::Invoke(*stub_, &pb::InferenceService::Stub::Score, request));
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_inference_requests_total{outcome=\"ok\"} 1\n"));
  EXPECT_THAT(registry_.Expose(),
              HasSubstr("crossover_inference_requests_total{outcome=\"cancelled\"} 1\n"));
}

// Without a key ADMIN of all; with one, OPERATOR of the project that it names.
class KeyOfAProject final : public rpc::Authenticator {
 public:
  absl::StatusOr<rpc::Principal> Authenticate(std::string_view authorization,
                                              std::string_view) override {
    if (authorization.empty()) return rpc::Principal{.name = "own", .role = rpc::Role::kAdmin};
    return rpc::Principal{.name = "key",
                          .project = std::string(authorization.substr(sizeof("Bearer ") - 1)),
                          .role = rpc::Role::kOperator};
  }
};

class TwoProjectsTest : public ModuleTest {
 protected:
  KeyOfAProject keys_;
};

TEST_F(TwoProjectsTest, WhatIsInMemoryAndItsNamesAreForKeysOfTheServersOwnProject) {
  using Stub = pb::InferenceService::Stub;
  authenticator_ = &keys_;
  Start({.project = "projects/a"});
  const rpc::CallOptions own{.api_key = "projects/a"}, other{.api_key = "projects/b"};
  const auto forbidden = HasReasonThat("RESOURCE_FORBIDDEN");
  pb::LoadAdapterRequest load;
  load.set_digest(Adapter("one", base_));
  EXPECT_OK(rpc::Invoke(*stub_, &Stub::LoadAdapter, load, other)) << "as Generate does";
  load.add_aliases("best");
  EXPECT_THAT(rpc::Invoke(*stub_, &Stub::LoadAdapter, load, other), forbidden);
  load.clear_aliases();
  load.set_pinned(true);
  EXPECT_THAT(rpc::Invoke(*stub_, &Stub::LoadAdapter, load, other), forbidden);
  pb::LoadModelRequest base;
  base.set_digest(base_);
  EXPECT_THAT(rpc::Invoke(*stub_, &Stub::LoadModel, base, other), forbidden);
  EXPECT_OK(rpc::Invoke(*stub_, &Stub::LoadModel, base, own));
  pb::PinAdapterRequest pin;
  pin.set_model(load.digest());
  EXPECT_THAT(rpc::Invoke(*stub_, &Stub::PinAdapter, pin, other), forbidden);
  EXPECT_OK(rpc::Invoke(*stub_, &Stub::PinAdapter, pin, own));
  pb::UnloadAdapterRequest unload;
  unload.set_model(load.digest());
  EXPECT_THAT(rpc::Invoke(*stub_, &Stub::UnloadAdapter, unload, other), forbidden);
  EXPECT_OK(rpc::Invoke(*stub_, &Stub::UnloadAdapter, unload, own));
}

}  // namespace
}  // namespace crossover::inference
