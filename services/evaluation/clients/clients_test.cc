// Questions as they are sent, and answers as they come back, over real sockets and an in-process
// model server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include <nlohmann/json.hpp>

#include "common/testing/fake_upstream.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/clock.h"
#include "services/evaluation/clients/local_model.h"
#include "services/evaluation/clients/prompt_source.h"
#include "services/evaluation/clients/question.h"
#include "services/evaluation/clients/upstream_model.h"

namespace crossover::evaluation {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

SuiteRow Row() {
  return {.row_digest = "r",
          .messages = R"([{"role":"system","content":"old"},{"role":"user","content":"vim"}])",
          .expected = "editors"};
}

prompt::PromptSpec Spec() {
  prompt::PromptSpec spec;
  spec.messages = {{"system", "Classify."}, {"user", "package: {{input}}"}};
  dataset::Row example;
  example.messages = {{.role = "user", .content = "nano"},
                      {.role = "assistant", .content = "editors"}};
  spec.few_shot = {example};
  spec.sampling.temperature = 0;
  spec.sampling.max_tokens = 16;
  return spec;
}

TEST(QuestionTest, WithoutAPromptTheRowGoesAsItCame) {
  auto question = RenderQuestion({}, nullptr, Row());
  ASSERT_OK(question);
  ASSERT_EQ(question->messages.size(), 2u);
  EXPECT_EQ(dataset::TextOf(question->messages[0]), "old");
}

TEST(QuestionTest, PromptReplacesTheRowsSystemMessageAndAddsExamples) {
  prompt::PromptSpec spec = Spec();
  auto question = RenderQuestion({}, &spec, Row());
  ASSERT_OK(question);
  ASSERT_EQ(question->messages.size(), 4u);
  EXPECT_EQ(dataset::TextOf(question->messages[0]), "Classify.");
  EXPECT_EQ(dataset::TextOf(question->messages[1]), "package: nano");
  EXPECT_EQ(dataset::TextOf(question->messages[3]), "package: vim");
  EXPECT_EQ(question->sampling.max_tokens, 16);
}

TEST(QuestionTest, TheSystemsSamplingStandsOverThePrompts) {
  prompt::PromptSpec spec = Spec();
  System system;
  system.sampling.temperature = 0.7;
  system.sampling.stop = {"\n"};
  auto question = RenderQuestion(system, &spec, Row());
  ASSERT_OK(question);
  EXPECT_EQ(question->sampling.temperature, 0.7);
  EXPECT_EQ(question->sampling.max_tokens, 16);
  EXPECT_EQ(question->sampling.stop, std::vector<std::string>{"\n"});
}

class UpstreamModelTest : public ::testing::Test {
 protected:
  absl::StatusOr<Reply> Ask() {
    prompt::PromptSpec spec = Spec();
    RenderedQuestion question = *RenderQuestion({}, &spec, Row());
    return model_.Ask({upstream_.base_url(), "sk-secret"}, "gpt-x", question, absl::Seconds(10));
  }
  testing::FakeUpstream upstream_;
  UpstreamModel model_{SystemClock()};
};

TEST_F(UpstreamModelTest, StreamsAnAnswerWithItsUsageAndTimes) {
  upstream_.SetReply({.content = "editors", .prompt_tokens = 120, .completion_tokens = 3});
  auto reply = Ask();
  ASSERT_OK(reply);
  EXPECT_EQ(reply->output, "editors");
  EXPECT_EQ(reply->finish_reason, "stop");
  EXPECT_EQ(reply->usage.input, 120);
  EXPECT_EQ(reply->usage.output, 3);
  EXPECT_THAT(reply->revision, HasSubstr("fp_fake"));
  EXPECT_GT(reply->latency_seconds, 0);
  EXPECT_GT(reply->first_token_seconds, 0);
  json sent = json::parse(upstream_.Requests().at(0).body);
  EXPECT_EQ(sent["model"], "gpt-x");
  EXPECT_EQ(sent["messages"].size(), 4u);
  EXPECT_EQ(sent["max_tokens"], 16);
  EXPECT_EQ(sent["stream_options"]["include_usage"], true);
  EXPECT_EQ(upstream_.Requests().at(0).headers.Get("Authorization"), "Bearer sk-secret");
}

TEST_F(UpstreamModelTest, AStatusAloneIsNeverTheRowsFault) {
  const std::pair<int, absl::StatusCode> kTable[] = {
      {400, absl::StatusCode::kFailedPrecondition}, {401, absl::StatusCode::kUnauthenticated},
      {402, absl::StatusCode::kFailedPrecondition}, {403, absl::StatusCode::kPermissionDenied},
      {404, absl::StatusCode::kNotFound},           {429, absl::StatusCode::kResourceExhausted},
      {500, absl::StatusCode::kUnavailable},        {503, absl::StatusCode::kUnavailable},
      {504, absl::StatusCode::kDeadlineExceeded}};
  for (const auto& [status, code] : kTable) {
    upstream_.SetReply({.status = status, .content = "because"});
    auto reply = Ask();
    EXPECT_THAT(reply, StatusIs(code, HasSubstr("because"))) << status;
    EXPECT_FALSE(BelongsToRow(reply.status())) << status;
    EXPECT_EQ(MayBeTriedAgain(reply.status()), status == 429 || status >= 500) << status;
  }
}

TEST_F(UpstreamModelTest, WhatOnlyThisRowExplainsHasItsReason) {
  const std::tuple<int, const char*, const char*> kTable[] = {
      {400, R"({"error":{"message":"too long","code":"context_length_exceeded"}})",
       "CONTEXT_LENGTH_EXCEEDED"},
      {400, R"({"error":{"message":"too long","type":"exceed_context_size_error","code":400}})",
       "CONTEXT_LENGTH_EXCEEDED"},
      {400,
       R"({"error":{"message":"This model's maximum context length is 8192 tokens","code":400}})",
       "CONTEXT_LENGTH_EXCEEDED"},
      {500, R"({"error":{"message":"filtered","code":"content_filter"}})", "CONTENT_FILTERED"}};
  for (const auto& [status, body, reason] : kTable) {
    upstream_.SetReply({.status = status, .raw_body = body});
    auto reply = Ask();
    EXPECT_THAT(reply, HasReasonThat(reason)) << body;
    EXPECT_TRUE(BelongsToRow(reply.status())) << body;
  }
}

TEST_F(UpstreamModelTest, AStreamThatIsCutIsNoAnswer) {
  upstream_.SetReply({.content = "a long answer in several pieces", .cut_after_pieces = 1});
  EXPECT_FALSE(Ask().ok());
}

TEST_F(UpstreamModelTest, AnUpstreamThatIsGoneIsUnavailable) {
  upstream_.Stop();
  EXPECT_THAT(Ask(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(CredentialTest, ComesFromFileOrEnvironmentAndSaysWhatIsMissing) {
  testing::TempDir folder;
  testing::WriteFile(folder / "key", "sk-1\n");
  EXPECT_THAT(ReadCredential("file:" + (folder / "key").string()), IsOkAndHolds("sk-1"));
  EXPECT_THAT(ReadCredential(""), IsOkAndHolds(""));
  EXPECT_THAT(ReadCredential("env:CROSSOVER_NO_SUCH_KEY"), HasReasonThat("CONFIG_INVALID"));
  EXPECT_THAT(ReadCredential("sk-plain"), HasReasonThat("CONFIG_INVALID"));
}

// A model server that says back what it was asked.
class EchoModels final : public inference::v1::InferenceService::Service {
 public:
  grpc::Status Generate(grpc::ServerContext*, const inference::v1::GenerateRequest* request,
                        grpc::ServerWriter<inference::v1::GenerateResponse>* writer) override {
    if (request->model() == "sha256:long") return {grpc::StatusCode::INVALID_ARGUMENT, "too long"};
    inference::v1::GenerateResponse piece;
    piece.set_system_fingerprint(request->model());
    piece.set_text("heard ");
    writer->Write(piece);
    piece.Clear();
    piece.set_text(request->chat().messages(request->chat().messages_size() - 1).content());
    piece.set_finish_reason("stop");
    piece.mutable_usage()->set_input(7);
    piece.mutable_usage()->set_output(2);
    writer->Write(piece);
    return grpc::Status::OK;
  }
  grpc::Status ListLoadedModels(grpc::ServerContext*, const inference::v1::ListLoadedModelsRequest*,
                                inference::v1::ListLoadedModelsResponse* response) override {
    auto* model = response->add_loaded_models();
    model->set_digest("sha256:base");
    model->add_aliases("small");
    if (!tuned) return grpc::Status::OK;
    model = response->add_loaded_models();
    model->set_digest("sha256:tuned");
    model->add_aliases("ft:small:tuned");
    return grpc::Status::OK;
  }
  // Loads what has not been used yet, as the model server does.
  grpc::Status Tokenize(grpc::ServerContext*, const inference::v1::TokenizeRequest* request,
                        inference::v1::TokenizeResponse*) override {
    if (request->model() != "ft:small:tuned") return {grpc::StatusCode::NOT_FOUND, "no such model"};
    tuned = true;
    return grpc::Status::OK;
  }
  grpc::Status LoadAdapter(grpc::ServerContext*, const inference::v1::LoadAdapterRequest* request,
                           inference::v1::LoadedModel* response) override {
    loaded.push_back(request->digest());
    response->set_digest(request->digest());
    response->set_base_digest("sha256:base");
    return grpc::Status::OK;
  }
  std::vector<std::string> loaded;
  bool tuned = false;
};

class LocalModelTest : public ::testing::Test {
 protected:
  LocalModelTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&models_);
    server_ = builder.BuildAndStart();
    Channels channels;
    channels.inference = server_->InProcessChannel({});
    model_ = std::make_unique<LocalModel>(channels, SystemClock());
  }
  EchoModels models_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<LocalModel> model_;
};

TEST_F(LocalModelTest, StreamsAnAnswerWithItsUsageAndTimes) {
  System system{.kind = ModelKind::kBase, .model = "small"};
  auto resolved = model_->Resolve(system);
  ASSERT_OK(resolved);
  EXPECT_EQ(resolved->model_digest, "sha256:base");
  auto reply = model_->Ask(*resolved, *RenderQuestion(system, nullptr, Row()), absl::Seconds(10));
  ASSERT_OK(reply);
  EXPECT_EQ(reply->output, "heard vim");
  EXPECT_EQ(reply->usage.input, 7);
  EXPECT_EQ(reply->revision, "sha256:base");
  EXPECT_GT(reply->first_token_seconds, 0);
  EXPECT_GE(reply->latency_seconds, reply->first_token_seconds);
}

TEST_F(LocalModelTest, AdapterIsLoadedWhenItIsResolved) {
  auto resolved = model_->Resolve(
      {.kind = ModelKind::kAdapter, .model = "projects/default/models/a/versions/sha256:adapter"});
  ASSERT_OK(resolved);
  EXPECT_EQ(resolved->model_digest, "sha256:adapter");
  EXPECT_EQ(resolved->base_digest, "sha256:base");
  EXPECT_EQ(models_.loaded, std::vector<std::string>{"sha256:adapter"});
}

TEST_F(LocalModelTest, AnAdapterThatNobodyHasUsedYetIsFoundByItsAlias) {
  auto resolved = model_->Resolve({.kind = ModelKind::kAdapter, .model = "ft:small:tuned"});
  ASSERT_OK(resolved);
  EXPECT_EQ(resolved->model_digest, "sha256:tuned");
}

TEST_F(LocalModelTest, UnknownModelSaysWhichThereAre) {
  EXPECT_THAT(model_->Resolve({.kind = ModelKind::kBase, .model = "huge"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("small")));
}

TEST_F(LocalModelTest, ErrorOfTheServerKeepsItsCode) {
  System system{.kind = ModelKind::kBase, .model = "x", .model_digest = "sha256:long"};
  EXPECT_THAT(model_->Ask(system, *RenderQuestion(system, nullptr, Row()), absl::Seconds(10)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crossover::evaluation
