#include "llm/train/forecast.h"

#include <gtest/gtest.h>

#include <string>

#include "llm/model/testing.h"

namespace crossover::llm {
namespace {

// Rows with a common beginning and an own end.
std::vector<TrainRow> Rows(int count, bool pairs) {
  std::vector<TrainRow> rows;
  for (int i = 0; i < count; ++i) {
    TrainRow row{.id = std::to_string(i)};
    for (int t = 0; t < 30; ++t) row.ids.push_back(t % 7);
    for (int t = 0; t < 4 + i % 5; ++t) row.ids.push_back((i * 13 + t * 5) % 100 + 8);
    row.token_weights.assign(row.ids.size(), 0);
    row.token_weights.back() = 1;
    if (pairs) {
      row.rejected_ids = row.ids;
      row.rejected_ids.back() += 1;
      row.rejected_weights = row.token_weights;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST(ForecastTest, TokensAndStepsAreThoseOfTheRun) {
  for (const bool pairs : {false, true}) {
    TrainConfig config{.rank = 4, .epochs = 2, .seed = 3};
    if (pairs) config.objective = ObjectiveKind::kPreference;
    const std::vector<TrainRow> rows = Rows(40, pairs);
    const Forecast forecast =
        ForecastOf(TinyConfig(), config, rows, Rows(6, pairs), {.train_rows = 40, .eval_every = 2});
    int64_t tokens = 0, computed = 0;
    auto trainer = Trainer::Create(TinyModel(), config, rows, {});
    ASSERT_TRUE(trainer.ok()) << trainer.status();
    ASSERT_TRUE((*trainer)
                    ->Run([&](const StepReport& step) {
                      tokens += step.tokens;
                      computed += step.computed_tokens;
                      return StepDecision::kContinue;
                    })
                    .ok());
    EXPECT_EQ(forecast.steps, (*trainer)->steps());
    EXPECT_EQ(forecast.tokens, tokens);
    // The second epoch has another order, and so shares a little more or less.
    EXPECT_NEAR(static_cast<double>(forecast.computed_tokens), static_cast<double>(computed),
                0.05 * static_cast<double>(computed));
    EXPECT_EQ(forecast.longest_row, 38);
  }
}

TEST(ForecastTest, WorkGrowsWithWhatIsComputed) {
  TrainConfig config{.rank = 4, .epochs = 1, .seed = 3};
  const auto work = [&](const ForecastOptions& options) {
    return ForecastOf(TinyConfig(), config, Rows(40, false), Rows(6, false), options).work;
  };
  const double once = work({.train_rows = 40});
  EXPECT_NEAR(work({.train_rows = 400}), 10 * once, 1e-6 * once);  // from a sample of a tenth
  EXPECT_GT(work({.train_rows = 40, .eval_every = 1}), once);
  config.kl_weight = 0.1;
  EXPECT_GT(work({.train_rows = 40}), 1.1 * once);
  EXPECT_LT(work({.train_rows = 40}), 1.6 * once);
}

TEST(ForecastTest, WorkersThatShareWindowsHaveSmallerPacksAndTogetherALittleMoreWork) {
  TrainConfig config{.rank = 4, .epochs = 1, .seed = 3};
  ModelConfig model = TinyConfig();
  model.layers = 300;
  const auto forecast = [&](int workers) {
    return ForecastOf(model, config, Rows(40, false), Rows(6, false),
                      {.train_rows = 40, .eval_every = 2, .workers = workers});
  };
  const Forecast one = forecast(1), two = forecast(2), many = forecast(64);
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.longest_row, one.longest_row);
  EXPECT_GT(two.computed_tokens, one.computed_tokens);  // Both compute the common beginning.
  EXPECT_GT(two.work, one.work);
  EXPECT_LT(two.work, 2 * one.work);
  EXPECT_LT(two.largest_pack, one.largest_pack);
  EXPECT_LT(many.largest_pack, two.largest_pack);  // A row each, and most have none.
  config.share_prefix = false;
  // Activations of half the rows weigh more than the copy of the gradient that is added up.
  EXPECT_LT(forecast(2).peak_memory_bytes, forecast(1).peak_memory_bytes);
}

TEST(ForecastTest, MemoryGrowsWithTheLargestPackAndTheNumberType) {
  TrainConfig config{.rank = 4, .epochs = 1, .max_pack_tokens = 1, .share_prefix = false};
  ModelConfig model = TinyConfig();
  model.layers = 300;
  model.vocab_size = 40'000;
  const auto memory = [&](bool bf16) {
    return ForecastOf(model, config, Rows(40, false), {}, {.train_rows = 40, .bf16 = bf16})
        .peak_memory_bytes;
  };
  const int64_t small = memory(true);
  config.max_pack_tokens = 2048;
  EXPECT_GT(memory(true), small);
  EXPECT_GT(memory(false), memory(true));
}

}  // namespace
}  // namespace crossover::llm
