#include "services/data_curation/domain/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "services/data_curation/domain/import.h"
#include "services/data_curation/domain/testing.h"

namespace crossover::curation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// `count` rows that have nothing in common.
std::string DistinctRows(int count, int from = 0) {
  std::string text;
  for (int i = from; i < from + count; ++i) {
    text += JsonRow(absl::StrCat("q", i * 7919, " z", i * 104729, " k", i * 1299709),
                    absl::StrCat("a", i % 3));
  }
  return text;
}

using ImportTest = PipelineFixture;

TEST_F(ImportTest, ABadLineIsReportedAndNothingElseIsLost) {
  std::string text;
  for (int line = 1; line <= 1000; ++line) {
    text +=
        line == 536
            ? std::string(
                  R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":)"
                  R"([{"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]}]})"
                  "\n")
            : JsonRow(absl::StrCat("question ", line), "answer");
  }
  crossover::testing::WriteFile(dir_ / "in.jsonl", text);
  std::vector<int64_t> lines;
  std::vector<Problem> problems;
  const auto summary = ImportJsonl(
      dir_ / "in.jsonl", {},
      [&](dataset::Row row) {
        lines.push_back(row.origin.line);
        return absl::OkStatus();
      },
      [&](const Problem& problem) {
        problems.push_back(problem);
        return absl::OkStatus();
      });
  ASSERT_OK(summary);
  EXPECT_EQ(summary->rows, 999);
  EXPECT_EQ(summary->bad_lines, 1);
  EXPECT_EQ(lines[534], 535);
  EXPECT_EQ(lines[535], 537);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].line, 536);
  EXPECT_EQ(problems[0].field, "messages[1].tool_calls[0].function.arguments");
  EXPECT_EQ(problems[0].message,
            "line 536: messages[1].tool_calls[0].function.arguments is not valid JSON");
}

TEST_F(ImportTest, TakesByteOrderMarkCarriageReturnsEmptyLinesAndAMissingLastNewline) {
  crossover::testing::WriteFile(dir_ / "in.jsonl",
                                "\xef\xbb\xbf{\"prompt\":\"a\",\"completion\":\"b\"}\r\n\r\n\n"
                                "{\"prompt\":\"c\",\"completion\":\"d\"}");
  int rows = 0;
  const auto summary = ImportJsonl(
      dir_ / "in.jsonl", {}, [&](dataset::Row) { return ++rows, absl::OkStatus(); },
      [](const Problem& problem) { return ADD_FAILURE() << problem.message, absl::OkStatus(); });
  ASSERT_OK(summary);
  EXPECT_EQ(rows, 2);
  EXPECT_EQ(summary->format, FileFormat::kPromptCompletion);
}

TEST_F(ImportTest, ALineThatIsTooLongIsLeftOutAndTheNextOneIsRead) {
  crossover::testing::WriteFile(dir_ / "in.jsonl",
                                JsonRow(std::string(100000, 'x'), "a") + JsonRow("q", "a"));
  std::vector<Problem> problems;
  const auto summary = ImportJsonl(
      dir_ / "in.jsonl", {.max_line_bytes = 1000}, [](dataset::Row) { return absl::OkStatus(); },
      [&](const Problem& problem) { return problems.push_back(problem), absl::OkStatus(); });
  ASSERT_OK(summary);
  EXPECT_EQ(summary->rows, 1);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].code, "line_too_long");
}

using PipelineTest = PipelineFixture;

TEST_F(PipelineTest, AnEmptyFileIsRefusedWithWhatToDo) {
  const auto result = Run({File("\n")}, {});
  EXPECT_THAT(result, HasReasonThat("FILE_EMPTY"));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("upload one with rows"));
}

TEST_F(PipelineTest, NineRowsAreTooFewAndTheMessageSaysWhereTheyWent) {
  const auto result =
      Run({File(DistinctRows(9) + JsonRow("q0 z0 k0", "a0"))}, DefaultRecipe().stages);
  EXPECT_THAT(result, HasReasonThat("TOO_FEW_ROWS"));
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("9 rows are left of 10 (dropped: exact_duplicates/duplicate 1); training "
                        "needs at least 10"));
}

TEST_F(PipelineTest, TheFunnelCountsEveryRowWithItsReason) {
  const std::string bad = "not json\n";
  const std::string text = DistinctRows(20) + bad + JsonRow("q0 z0 k0", "a0") +
                           JsonRow("conflict here", "x") + JsonRow("conflict here", "y") +
                           JsonRow("no answer", "");
  const auto result = Run({File(text)}, DefaultRecipe().stages);
  ASSERT_OK(result);
  EXPECT_THAT(StepOf(*result, "import").dropped, ElementsAre(Pair("row_invalid", 1)));
  EXPECT_THAT(StepOf(*result, "schema").dropped, ElementsAre(Pair("answer_empty", 1)));
  EXPECT_THAT(StepOf(*result, "exact_duplicates").dropped, ElementsAre(Pair("duplicate", 1)));
  EXPECT_THAT(StepOf(*result, "label_conflicts").dropped, ElementsAre(Pair("label_conflict", 2)));
  int64_t in = result->funnel.front().rows_in;
  for (const FunnelStep& step : result->funnel) {
    EXPECT_EQ(step.rows_in, in) << step.stage;
    int64_t dropped = 0;
    for (const auto& [code, count] : step.dropped) dropped += count;
    EXPECT_EQ(step.rows_out, in - dropped) << step.stage;
    in = step.rows_out;
  }
  EXPECT_EQ(in, 20);
}

TEST_F(PipelineTest, ARepeatedRunTakesEveryStepFromTheCacheAndGivesTheSameBytes) {
  const auto first = Run({File(DistinctRows(50))}, DefaultRecipe().stages);
  ASSERT_OK(first);
  const auto second = Run({File(DistinctRows(50))}, DefaultRecipe().stages);
  ASSERT_OK(second);
  for (const FunnelStep& step : first->funnel) EXPECT_FALSE(step.cached) << step.stage;
  for (const FunnelStep& step : second->funnel) EXPECT_TRUE(step.cached) << step.stage;
  EXPECT_EQ(first->states_digest, second->states_digest);
  EXPECT_EQ(first->rows_artifact, second->rows_artifact);
}

TEST_F(PipelineTest, ARunThatWasStoppedGoesOnAfterTheLastFinishedStep) {
  int steps = 0;
  const auto stopped =
      Run({File(DistinctRows(50))}, DefaultRecipe().stages, {.on_step = [&](const FunnelStep&) {
            return ++steps == 3 ? absl::UnavailableError("killed") : absl::OkStatus();
          }});
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kUnavailable);
  const auto resumed = Run({File(DistinctRows(50))}, DefaultRecipe().stages);
  ASSERT_OK(resumed);
  std::vector<bool> cached;
  for (const FunnelStep& step : resumed->funnel) cached.push_back(step.cached);
  EXPECT_THAT(cached, ElementsAre(true, true, true, false, false, false));
}

TEST_F(PipelineTest, AChangedParameterRepeatsOnlyWhatComesAfterIt) {
  std::vector<RecipeStage> stages = DefaultRecipe().stages;
  ASSERT_OK(Run({File(DistinctRows(50))}, stages));
  stages[3].parameters["threshold"] = 0.9;
  const auto result = Run({File(DistinctRows(50))}, stages);
  ASSERT_OK(result);
  EXPECT_TRUE(StepOf(*result, "label_conflicts").cached);
  EXPECT_FALSE(StepOf(*result, "near_duplicates").cached);
}

TEST_F(PipelineTest, ACancelledRunStops) {
  const auto result = Run({File(DistinctRows(600))}, {}, {.cancelled = [] { return true; }});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
}

TEST(RecipeTest, MistakesAreNamedWithWhatIsKnown) {
  const StageCatalogue catalogue;
  const auto message = [&catalogue](std::vector<RecipeStage> stages) {
    const auto resolved = Resolve({.stages = std::move(stages)}, catalogue);
    return resolved.ok() ? "OK" : std::string(resolved.status().message());
  };
  EXPECT_THAT(message({{"dedupe", {}}}),
              HasSubstr("no stage `dedupe`; known are: schema, exact_duplicates"));
  EXPECT_THAT(
      message({{"near_duplicates", {{"treshold", 1}}}}),
      HasSubstr("stage `near_duplicates`: no parameter `treshold`; known are: action, char_n"));
  EXPECT_THAT(message({{"near_duplicates", {{"threshold", "high"}}}}), HasSubstr("`threshold` "));
  EXPECT_THAT(message({{"split", {{"train", 0.5}}}}), HasSubstr("must add up to 1"));
  EXPECT_THAT(message({{"schema", nlohmann::json::object()}}),
              HasSubstr("the last stage must be `split`"));
}

TEST(RecipeTest, TheDigestDependsOnParametersAndSeedAndNotOnHowDefaultsWereGiven) {
  const StageCatalogue catalogue;
  const auto digest = [&catalogue](Recipe recipe) {
    return *RecipeDigest(*Resolve(recipe, catalogue), catalogue);
  };
  Recipe explicit_default = DefaultRecipe();
  explicit_default.stages[3].parameters["threshold"] = 0.8;
  Recipe other = DefaultRecipe();
  other.stages[3].parameters["threshold"] = 0.7;
  EXPECT_EQ(digest({}), digest(DefaultRecipe()));
  EXPECT_EQ(digest({}), digest(explicit_default));
  EXPECT_NE(digest({}), digest(other));
  EXPECT_NE(digest({}), digest({.seed = 1}));
}

}  // namespace
}  // namespace crossover::curation
