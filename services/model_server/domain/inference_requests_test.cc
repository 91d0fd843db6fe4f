// Scores of prompts, embeddings, mixes and several prompts at once, with a fake engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>

#include "services/model_server/domain/joined_generations.h"
#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

class CollectingSink final : public AnswerSink {
 public:
  void OnStart(const AnswerStart&) override { ++starts; }
  void OnPiece(AnswerPiece piece) override { texts[piece.index] += piece.text; }
  void OnDone(absl::StatusOr<AnswerSummary> summary) override { done.set_value(summary); }

  int starts = 0;
  std::map<int64_t, std::string> texts;
  std::promise<absl::StatusOr<AnswerSummary>> done;
};

class InferenceRequestsTest : public ModelFixture {
 protected:
  InferenceRequestsTest() {
    EXPECT_OK(models_->LoadBase(base_, {"small"}).status());
    inference_ = std::make_unique<Inference>(*models_, clock_, random_, observer_);
  }

  absl::StatusOr<EmbedAnswer> Embed(EmbedCommand command) {
    std::promise<absl::StatusOr<EmbedAnswer>> done;
    const auto running =
        inference_->Embed(command, [&](absl::StatusOr<EmbedAnswer> a) { done.set_value(a); });
    if (!running.ok()) return running.status();
    return done.get_future().get();
  }

  absl::StatusOr<ScoreAnswer> Score(ScoreCommand command) {
    std::promise<absl::StatusOr<ScoreAnswer>> done;
    const auto running =
        inference_->Score(command, [&](absl::StatusOr<ScoreAnswer> a) { done.set_value(a); });
    if (!running.ok()) return running.status();
    return done.get_future().get();
  }

  std::unique_ptr<Inference> inference_;
};

TEST_F(InferenceRequestsTest, EmbeddingsHaveLengthOneAlsoWhenTheyAreCut) {
  // The fake's vectors: (first token, length, 0).
  const auto whole = Embed({.model = "small", .texts = {std::string("\x03xxx"), std::string("a")}});
  ASSERT_OK(whole);
  EXPECT_THAT(whole->embeddings[0], ElementsAre(FloatEq(0.6f), FloatEq(0.8f), FloatEq(0)));
  EXPECT_EQ(whole->usage.input, 5);
  EXPECT_EQ(whole->start.fingerprint, base_);
  const auto cut = Embed({.model = "small", .texts = {std::string("\x03xxx")}, .dimensions = 1});
  ASSERT_OK(cut);
  EXPECT_THAT(cut->embeddings[0], ElementsAre(FloatEq(1)));
  EXPECT_EQ(observer_.scores().size(), 2u);
}

TEST_F(InferenceRequestsTest, EmbeddingsThatCannotBeMadeAreNamed) {
  const auto reason = [&](EmbedCommand command) { return Embed(std::move(command)).status(); };
  EXPECT_THAT(reason({.model = "small"}), HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason({.model = "small", .texts = {std::string()}}), HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason({.model = "small", .texts = {std::string("a")}, .dimensions = 0}),
              HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason({.model = "small", .texts = {std::string("a")}, .dimensions = 4}),
              HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason({.model = "nobody", .texts = {std::string("a")}}),
              HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(reason({.model = "small", .texts = {std::string(2000, 'a')}}),
              HasReasonThat("CONTEXT_LENGTH_EXCEEDED"));
}

TEST_F(InferenceRequestsTest, WhatHasNoAnswerMayFillTheContext) {
  const std::string full(1024, 'a'), over(1025, 'a');
  EXPECT_OK(Embed({.model = "small", .texts = {full}}).status());
  const auto field = [](const absl::Status& status) {
    EXPECT_THAT(status, HasReasonThat("CONTEXT_LENGTH_EXCEEDED"));
    return DetailOf(status).violations.at(0).field;
  };
  EXPECT_EQ(field(Embed({.model = "small", .texts = {over}}).status()), "texts[0]");
  EXPECT_OK(Score({.model = "small", .items = {{.prompt = full, .prompt_itself = true}}}).status());
  EXPECT_EQ(field(Score({.model = "small",
                         .items = {{.prompt = full,
                                    .continuations = {"b"},
                                    .prompt_field = "items[0].text"}}})
                      .status()),
            "items[0].text");
}

TEST_F(InferenceRequestsTest, ATextThatCannotFitIsRefusedByItsBytesAlone) {
  // Over 4 times 1,024 of the longest token, <|im_start|>; a shorter one is counted in tokens.
  const std::string vast(60'000, 'a'), large(20'000, 'a');
  const auto generate = [&](Prompt prompt) {
    const auto running = inference_->Generate({.model = "small", .prompt = std::move(prompt)},
                                              std::make_shared<CollectingSink>());
    EXPECT_THAT(running.status(), HasReasonThat("CONTEXT_LENGTH_EXCEEDED"));
    return std::string(running.status().message());
  };
  EXPECT_THAT(generate(vast), HasSubstr("has 60000 bytes"));
  EXPECT_THAT(generate(large), HasSubstr("has 20000 tokens"));
  EXPECT_THAT(generate(ChatPrompt{.messages = {{.role = "user", .content = vast}}}),
              HasSubstr(" bytes"));
  EXPECT_THAT(std::string(Embed({.model = "small", .texts = {vast}}).status().message()),
              HasSubstr("has 60000 bytes"));
}

TEST_F(InferenceRequestsTest, ACancelledEmbeddingEndsAndFreesItsModel) {
  engine().Hold();
  std::promise<absl::Status> done;
  const auto running =
      inference_->Embed({.model = "small", .texts = {std::string("a")}},
                        [&](const absl::StatusOr<EmbedAnswer>& a) { done.set_value(a.status()); });
  ASSERT_OK(running);
  (*running)->Cancel();
  EXPECT_THAT(done.get_future().get(), HasReasonThat("CALL_CANCELLED"));
  EXPECT_TRUE(engine().WaitForCancelled(1));
  EXPECT_EQ(models_->List()[0].in_flight, 0);
}

TEST_F(InferenceRequestsTest, APromptIsScoredAfterItsFirstToken) {
  const auto answer = Score({.model = "small",
                             .items = {{.prompt = std::string("abc"), .prompt_itself = true},
                                       {.prompt = std::string("a"), .prompt_itself = true}},
                             .top_logprobs = 2});
  ASSERT_OK(answer);
  EXPECT_THAT(answer->prompts[0], ElementsAre('a', 'b', 'c'));
  ASSERT_EQ(answer->items[0].size(), 1u);
  EXPECT_THAT(answer->items[0][0].ids, ElementsAre('b', 'c'));
  EXPECT_THAT(answer->items[0][0].logprobs, ElementsAre(-0.5f, -0.5f));
  EXPECT_EQ(answer->items[0][0].top[1][1].id, 'c');
  EXPECT_TRUE(answer->items[1].empty());
  EXPECT_EQ(answer->usage.input, 4);
}

TEST_F(InferenceRequestsTest, AMixHoldsItsAdaptersAndReachesTheEngine) {
  const std::string one = Adapter("one", base_), two = Adapter("two", base_);
  ASSERT_OK(models_->LoadAdapter(two, {"second"}, false, "").status());
  const auto sink = std::make_shared<CollectingSink>();
  const auto running = inference_->Generate({.model = "small",
                                             .mix = {{one, 0.25}, {"second", -1}},
                                             .prompt = std::string("a"),
                                             .caller = "key",
                                             .priority = 3},
                                            sink);
  ASSERT_OK(running);
  ASSERT_OK(sink->done.get_future().get().status());
  const llm::GenerateRequest request = engine().Requests().back();
  ASSERT_EQ(request.mix.size(), 2u);
  EXPECT_EQ(request.mix[0].adapter, one);
  EXPECT_EQ(request.mix[1].weight, -1);
  EXPECT_EQ(request.caller, "key");
  EXPECT_EQ(request.priority, 3);
  for (const ModelInfo& info : models_->List()) EXPECT_EQ(info.in_flight, 0) << info.digest;
}

TEST_F(InferenceRequestsTest, MixesThatCannotBeAreNamed) {
  const std::string one = Adapter("one", base_);
  const auto reason = [&](const std::string& model, std::vector<AdapterWeight> mix) {
    return inference_
        ->Generate({.model = model, .mix = std::move(mix), .prompt = std::string("a")},
                   std::make_shared<CollectingSink>())
        .status();
  };
  EXPECT_THAT(reason(one, {{one, 1}}), HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason("small", {{"small", 1}}), HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason("small", {{one, std::numeric_limits<double>::infinity()}}),
              HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason("small", std::vector<AdapterWeight>(17, {one, 1})),
              HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(reason("small", {{"nobody", 1}}), HasReasonThat("MODEL_NOT_FOUND"));
}

TEST_F(InferenceRequestsTest, SeveralPromptsAreAnsweredAsOne) {
  engine().SetAnswer([](const llm::GenerateRequest& request) {
    return std::string(1, static_cast<char>(request.prompt[0])) +
           std::to_string(request.prompt.size());
  });
  const auto sink = std::make_shared<CollectingSink>();
  std::vector<GenerateCommand> commands(2, {.model = "small"});
  commands[0].prompt = std::string("a");
  commands[1].prompt = std::string("bb");
  for (GenerateCommand& command : commands) command.sampling.n = 2;
  ASSERT_OK(GenerateAll(*inference_, commands, sink));
  const auto summary = sink->done.get_future().get();
  ASSERT_OK(summary);
  EXPECT_EQ(sink->starts, 1);
  EXPECT_EQ(sink->texts[0], "a1");
  EXPECT_EQ(sink->texts[1], "a1");
  EXPECT_EQ(sink->texts[2], "b2");
  EXPECT_EQ(sink->texts[3], "b2");
  EXPECT_EQ(summary->usage.input, 3);
  EXPECT_EQ(summary->usage.output, 8);
}

TEST_F(InferenceRequestsTest, APromptThatCannotStartStopsTheOthers) {
  engine().Hold();
  const auto sink = std::make_shared<CollectingSink>();
  std::vector<GenerateCommand> commands(2, {.model = "small"});
  commands[0].prompt = std::string("a");
  commands[1].prompt = std::string();
  EXPECT_THAT(GenerateAll(*inference_, commands, sink).status(), HasReasonThat("FIELD_INVALID"));
  EXPECT_TRUE(engine().WaitForCancelled(1));
  EXPECT_TRUE(sink->texts.empty() || sink->texts[0].size() <= 1);
}

}  // namespace
}  // namespace crossover::inference
