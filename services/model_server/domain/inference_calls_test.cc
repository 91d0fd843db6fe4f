// What reaches the engine as one call, and what becomes of a call when it is refused or part of it
// fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <set>

#include "services/model_server/domain/joined_generations.h"
#include "services/model_server/domain/model_fixture.h"

namespace crossover::inference {
namespace {

// Hears the end only.
class EndSink final : public AnswerSink {
 public:
  void OnStart(const AnswerStart&) override {}
  void OnPiece(AnswerPiece) override {}
  void OnDone(absl::StatusOr<AnswerSummary> summary) override { done.set_value(summary); }

  std::promise<absl::StatusOr<AnswerSummary>> done;
};

class InferenceCallsTest : public ModelFixture {
 protected:
  InferenceCallsTest() {
    EXPECT_OK(models_->LoadBase(base_, {"small"}).status());
    inference_ = std::make_unique<Inference>(*models_, clock_, random_, observer_);
  }

  static ScoreCommand ThreeItems() {
    const ScoreItem item{.prompt = std::string("a"), .continuations = {"b"}};
    return {.model = "small", .items = {item, item, item}};
  }

  std::future<absl::Status> Score(const ScoreCommand& command) {
    const auto done = std::make_shared<std::promise<absl::Status>>();
    EXPECT_OK(inference_->Score(
        command, [done](const absl::StatusOr<ScoreAnswer>& a) { done->set_value(a.status()); }));
    return done->get_future();
  }

  std::unique_ptr<Inference> inference_;
};

TEST_F(InferenceCallsTest, AllAnswersOfOneCallHaveItsNumber) {
  const auto sink = std::make_shared<EndSink>();
  std::vector<GenerateCommand> commands(2, {.model = "small", .prompt = std::string("a")});
  for (GenerateCommand& command : commands) command.sampling.n = 2;
  ASSERT_OK(GenerateAll(*inference_, commands, sink));
  ASSERT_OK(sink->done.get_future().get().status());
  const auto other = std::make_shared<EndSink>();
  ASSERT_OK(inference_->Generate(commands[0], other));
  ASSERT_OK(other->done.get_future().get().status());
  std::vector<uint64_t> calls;
  for (const llm::GenerateRequest& request : engine().Requests()) calls.push_back(request.call);
  ASSERT_EQ(calls.size(), 6u);
  EXPECT_EQ(std::set<uint64_t>(calls.begin(), calls.begin() + 4).size(), 1u);
  EXPECT_EQ(std::set<uint64_t>(calls.begin() + 4, calls.end()).size(), 1u);
  EXPECT_NE(calls[0], 0u);
  EXPECT_NE(calls[4], 0u);
  EXPECT_NE(calls[0], calls[4]);
}

TEST_F(InferenceCallsTest, AllItemsOfAScoreHaveItsNumber) {
  ASSERT_OK(Score(ThreeItems()).get());
  ASSERT_OK(Score(ThreeItems()).get());
  const std::vector<llm::ScoreRequest> scores = engine().Scores();
  ASSERT_EQ(scores.size(), 6u);
  EXPECT_NE(scores[0].call, 0u);
  EXPECT_EQ(scores[0].call, scores[2].call);
  EXPECT_NE(scores[0].call, scores[3].call);
  EXPECT_EQ(scores[3].call, scores[5].call);
}

TEST_F(InferenceCallsTest, AnItemThatFailsEndsTheOthers) {
  engine().SetCapacity(1);
  engine().Hold();
  std::future<absl::Status> done = Score(ThreeItems());
  EXPECT_TRUE(engine().WaitForCancelled(1));
  engine().Release();
  EXPECT_THAT(done.get(), HasReasonThat("QUEUE_FULL"));
  EXPECT_EQ(engine().Scores().size(), 1u);
  EXPECT_EQ(models_->List()[0].in_flight, 0);
}

TEST_F(InferenceCallsTest, AFullQueueRefusesScoresAndEmbeddings) {
  engine().SetCapacity(0);
  EXPECT_THAT(Score(ThreeItems()).get(), HasReasonThat("QUEUE_FULL"));
  EXPECT_THAT(inference_
                  ->Embed({.model = "small", .texts = {std::string("a")}},
                          [](const absl::StatusOr<EmbedAnswer>&) {})
                  .status(),
              HasReasonThat("QUEUE_FULL"));
  EXPECT_EQ(models_->List()[0].in_flight, 0);
}

}  // namespace
}  // namespace crossover::inference
