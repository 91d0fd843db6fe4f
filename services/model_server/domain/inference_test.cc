#include "services/model_server/domain/inference.h"

#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <future>

#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Gathers an answer.
class GatheringSink final : public AnswerSink {
 public:
  void OnStart(const AnswerStart& start) override { fingerprint = start.fingerprint; }
  void OnPiece(AnswerPiece piece) override {
    std::lock_guard lock(mutex_);
    texts[piece.index] += piece.text;
    tokens[piece.index] += piece.tokens.size();
    if (!piece.finish_reason.empty()) finish[piece.index] = piece.finish_reason;
  }
  void OnDone(absl::StatusOr<AnswerSummary> summary) override {
    std::lock_guard lock(mutex_);
    ++done;
    result = std::move(summary);
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return done > 0; });
  }

  std::string fingerprint;
  std::map<int64_t, std::string> texts;
  std::map<int64_t, size_t> tokens;
  std::map<int64_t, std::string> finish;
  int done = 0;
  absl::StatusOr<AnswerSummary> result = absl::UnknownError("not done");

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class InferenceTest : public ModelFixture {
 protected:
  void SetUp() override { ASSERT_OK(models_->LoadBase(base_, {"small"})); }

  static GenerateCommand Ask(const std::string& text) {
    return {.model = "small",
            .prompt = ChatPrompt{.messages = {{.role = "user", .content = text}}}};
  }

  Inference inference_{*models_, clock_, random_, observer_};
  std::shared_ptr<GatheringSink> sink_ = std::make_shared<GatheringSink>();
};

TEST_F(InferenceTest, AnAnswerArrivesInPiecesAndIsCounted) {
  ASSERT_OK(inference_.Generate(Ask("hi"), sink_));
  ASSERT_TRUE(sink_->Wait());
  EXPECT_EQ(sink_->fingerprint, base_);
  EXPECT_EQ(sink_->texts[0], "hello");
  EXPECT_EQ(sink_->tokens[0], 5u);
  EXPECT_EQ(sink_->finish[0], "stop");
  ASSERT_OK(sink_->result);
  EXPECT_EQ(sink_->result->usage.output, 5);
  EXPECT_EQ(sink_->result->usage.input, static_cast<int64_t>(engine().Requests()[0].prompt.size()));
  EXPECT_EQ(engine().Requests()[0].sampling.stop_ids, std::vector<int32_t>{257});
  EXPECT_EQ(models_->List()[0].in_flight, 0);
}

TEST_F(InferenceTest, AnAnswerThatHasEndedLetsItsSinkGo) {
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Generation> ended,
                       inference_.Generate(Ask("hi"), sink_));
  ASSERT_TRUE(sink_->Wait());
  const std::weak_ptr<GatheringSink> sink = sink_;
  sink_.reset();
  // OnDone may not have returned yet.
  for (int i = 0; i < 1'000 && !sink.expired(); ++i) SystemClock().SleepFor(absl::Milliseconds(1));
  EXPECT_TRUE(sink.expired()) << "a sink that holds its generation would never be freed";
}

TEST_F(InferenceTest, SeveralAnswersHaveSeedsOfTheirOwnAndOneUsage) {
  GenerateCommand command = Ask("hi");
  command.sampling = {.seed = 7, .n = 3, .max_tokens = 2};
  ASSERT_OK(inference_.Generate(command, sink_));
  ASSERT_TRUE(sink_->Wait());
  EXPECT_EQ(sink_->texts.size(), 3u);
  EXPECT_EQ(sink_->texts[2], "he");
  EXPECT_EQ(sink_->finish[1], "length");
  EXPECT_EQ(sink_->result->usage.output, 6);
  const auto requests = engine().Requests();
  EXPECT_EQ(requests[0].sampling.seed, 7u);
  EXPECT_NE(requests[1].sampling.seed, requests[2].sampling.seed);
}

TEST_F(InferenceTest, CancellingFreesTheSlotAndEndsOnce) {
  engine().Hold();
  ASSERT_OK_AND_ASSIGN(const auto generation, inference_.Generate(Ask("hi"), sink_));
  generation->Cancel();
  ASSERT_TRUE(sink_->Wait());
  EXPECT_THAT(sink_->result.status(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(sink_->done, 1);
  EXPECT_EQ(engine().Cancelled(), 1);
  generation->Cancel();
}

TEST_F(InferenceTest, AFullQueueRefusesTheWholeRequest) {
  engine().SetCapacity(2);
  engine().Hold();
  GenerateCommand command = Ask("hi");
  command.sampling.n = 3;
  EXPECT_THAT(inference_.Generate(command, sink_).status(), HasReasonThat("QUEUE_FULL"));
  ASSERT_TRUE(engine().WaitForCancelled(2));
  engine().Release();
  EXPECT_EQ(sink_->done, 0);
}

TEST_F(InferenceTest, PromptsMayBeMessagesTextOrTokens) {
  GenerateCommand command{.model = base_, .prompt = std::string("ab")};
  ASSERT_OK(inference_.Generate(command, sink_));
  command.prompt = std::vector<int32_t>{1, 2, 3};
  ASSERT_OK(inference_.Generate(command, std::make_shared<GatheringSink>()));
  ASSERT_TRUE(engine().WaitForRequests(2));
  EXPECT_THAT(engine().Requests()[0].prompt, ElementsAre('a', 'b'));
  EXPECT_THAT(engine().Requests()[1].prompt, ElementsAre(1, 2, 3));
  command.prompt = std::vector<int32_t>{1, 258};
  EXPECT_THAT(std::string(inference_.Generate(command, sink_).status().message()),
              HasSubstr("prompt[1]"));
  ASSERT_TRUE(sink_->Wait());
}

TEST_F(InferenceTest, ValuesOutOfRangeAreNamed) {
  const auto field = [&](const Sampling& sampling) {
    GenerateCommand command = Ask("hi");
    command.sampling = sampling;
    const absl::Status status = inference_.Generate(command, sink_).status();
    EXPECT_THAT(status, HasReasonThat("FIELD_INVALID"));
    const auto violations = DetailOf(status).violations;
    return violations.empty() ? std::string() : violations[0].field;
  };
  EXPECT_EQ(field({.temperature = 2.1}), "temperature");
  EXPECT_EQ(field({.top_p = 0}), "top_p");
  EXPECT_EQ(field({.n = 0}), "n");
  EXPECT_EQ(field({.max_tokens = 0}), "max_tokens");
  EXPECT_EQ(field({.stop = {"a", ""}}), "stop");
  EXPECT_EQ(field({.logit_bias = {{5, 101}}}), "logit_bias[5]");
  EXPECT_EQ(field({.logprobs = 21}), "logprobs");
  EXPECT_EQ(engine().Requests().size(), 0u);
  EXPECT_EQ(observer_.outcomes().size(), 7u);
}

TEST_F(InferenceTest, APromptThatLeavesNoRoomSaysHowLongItIs) {
  const absl::Status status = inference_.Generate(Ask(std::string(1200, 'x')), sink_).status();
  EXPECT_THAT(status, HasReasonThat("CONTEXT_LENGTH_EXCEEDED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("1024"));
  GenerateCommand command = Ask("hi");
  command.sampling.max_tokens = 1022;
  EXPECT_THAT(inference_.Generate(command, sink_).status(),
              HasReasonThat("CONTEXT_LENGTH_EXCEEDED"));
}

TEST_F(InferenceTest, UncachedRequestsShareNoPrefix) {
  GenerateCommand command = Ask("hi");
  command.no_cache = true;
  ASSERT_OK(inference_.Generate(command, sink_));
  ASSERT_OK(inference_.Generate(command, std::make_shared<GatheringSink>()));
  ASSERT_TRUE(engine().WaitForRequests(2));
  EXPECT_NE(engine().Requests()[0].cache_salt, engine().Requests()[1].cache_salt);
}

TEST_F(InferenceTest, ContinuationsAreScored) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<absl::StatusOr<ScoreAnswer>> answer;
  ASSERT_OK(inference_.Score({.model = "small", .items = {{std::string("ab"), {"c", "de"}}}},
                             [&](auto result) {
                               std::lock_guard lock(mutex);
                               answer = std::move(result);
                               changed.notify_all();
                             }));
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return answer.has_value(); }));
  ASSERT_OK(*answer);
  EXPECT_EQ((*answer)->items[0][0].logprob, -0.5);
  EXPECT_EQ((*answer)->items[0][1].logprob, -1.0);
  EXPECT_EQ((*answer)->start.fingerprint, base_);
  EXPECT_EQ((*answer)->usage.input, 2 + 1 + 2);
  lock.unlock();
  EXPECT_THAT(
      inference_.Score({.model = "small", .items = {{std::string("ab"), {""}}}}, nullptr).status(),
      HasReasonThat("FIELD_INVALID"));
}

TEST_F(InferenceTest, ScoresAreCancelledAndCounted) {
  std::promise<absl::Status> ended;
  const ScoreCommand command{
      .model = "small",
      .items = {{std::string("ab"), {"c"}}, {std::string("x"), {"y"}}, {std::string("x"), {"z"}}}};
  engine().Hold();
  ASSERT_OK_AND_ASSIGN(const auto score, inference_.Score(command, [&](const auto& result) {
    ended.set_value(result.status());
  }));
  score->Cancel();
  EXPECT_THAT(ended.get_future().get(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(engine().Cancelled(), 3);
  score->Cancel();
  engine().Release();
  ended = {};
  ASSERT_OK(inference_.Score(command, [&](const auto& r) { ended.set_value(r.status()); }));
  EXPECT_OK(ended.get_future().get());
  EXPECT_THAT(inference_.Score({.model = "nobody", .items = command.items}, nullptr).status(),
              HasReasonThat("MODEL_NOT_FOUND"));
  EXPECT_THAT(observer_.scores(),
              ElementsAre(StatusIs(absl::StatusCode::kCancelled), StatusIs(absl::StatusCode::kOk),
                          StatusIs(absl::StatusCode::kNotFound)));
}

TEST_F(InferenceTest, ChatsAreRenderedAndTextsTokenised) {
  const ChatPrompt chat{
      .messages = {{.role = "user", .content = "u"}, {.role = "assistant", .content = "a"}}};
  ASSERT_OK_AND_ASSIGN(const RenderedChat rendered, inference_.Render("small", chat, false));
  EXPECT_EQ(rendered.text, "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n");
  EXPECT_EQ(std::count(rendered.assistant.begin(), rendered.assistant.end(), true), 2);
  EXPECT_EQ(rendered.assistant.size(), rendered.ids.size());
  ASSERT_OK_AND_ASSIGN(const auto ids, inference_.Tokenize("small", {"a<|im_end|>"}, true));
  EXPECT_THAT(ids[0], ElementsAre('a', 257));
  ASSERT_OK_AND_ASSIGN(const auto plain, inference_.Tokenize("small", {"a<|im_end|>"}, false));
  EXPECT_EQ(plain[0].size(), 11u);
}

}  // namespace
}  // namespace crossover::inference
