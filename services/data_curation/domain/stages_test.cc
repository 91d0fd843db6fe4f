#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "services/data_curation/domain/testing.h"

namespace crossover::curation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class StagesTest : public PipelineFixture {
 protected:
  // drop_reason of each row, in order.
  std::vector<std::string> Drops(const std::vector<PipelineInput>& inputs, RecipeStage stage) {
    const auto result = Run(inputs, {std::move(stage)});
    EXPECT_OK(result);
    std::vector<std::string> drops;
    for (const RowState& state : StatesOf(*result)) drops.push_back(state.drop_reason);
    return drops;
  }
};

TEST_F(StagesTest, SchemaChecksTheAnswer) {
  const std::string text = JsonRow("a", R"({"section":"net"})") + JsonRow("b", "plain") +
                           JsonRow("c", "[1]") + JsonRow("d", R"({"role":"x"})") + JsonRow("e", "");
  EXPECT_THAT(Drops({File(text)},
                    {"schema", {{"answer", "json_object"}, {"required_fields", {"section"}}}}),
              ElementsAre("", "schema/answer_not_json", "schema/answer_not_json_object",
                          "schema/answer_field_missing", "schema/answer_empty"));
}

TEST_F(StagesTest, SchemaKnowsLabelsAndLengths) {
  EXPECT_THAT(Drops({File(JsonRow("a", "yes") + JsonRow("b", "maybe") +
                          JsonRow(std::string(50, 'x'), "no"))},
                    {"schema", {{"labels", {"yes", "no"}}, {"max_characters", 40}}}),
              ElementsAre("", "schema/answer_not_a_label", "schema/too_long"));
}

TEST_F(StagesTest, OfEqualRowsTheFirstStays) {
  const std::string text =
      JsonRow("a", "1") + JsonRow("a", "1") + JsonRow("A!", "1") + JsonRow("a", "2");
  EXPECT_THAT(Drops({File(text)}, {"exact_duplicates"}),
              ElementsAre("", "exact_duplicates/duplicate", "", ""));
  EXPECT_THAT(Drops({File(text)}, {"exact_duplicates", {{"normalise", true}}}),
              ElementsAre("", "exact_duplicates/duplicate", "exact_duplicates/duplicate", ""));
}

TEST_F(StagesTest, ATestRowOutranksItsTwinInTrain) {
  EXPECT_THAT(Drops({File(JsonRow("a", "1"), "train"), File(JsonRow("a", "1"), "test")},
                    {"exact_duplicates"}),
              ElementsAre("exact_duplicates/leaks_into_test", ""));
  EXPECT_THAT(Drops({File(JsonRow("a", "1"), "test"), File(JsonRow("a", "1"), "train")},
                    {"exact_duplicates"}),
              ElementsAre("", "exact_duplicates/leaks_into_test"));
}

TEST_F(StagesTest, ConflictingRowsLeaveWithTheOtherRowAsEvidence) {
  const auto result =
      Run({File(JsonRow("a", "1") + JsonRow("a", "2") + JsonRow("b", "1"))}, {{"label_conflicts"}});
  ASSERT_OK(result);
  const RowStates states = StatesOf(*result);
  const auto rows = RowsOf(*result);
  EXPECT_EQ(states[0].drop_reason, "label_conflicts/label_conflict");
  EXPECT_EQ(states[0].flags[0].evidence, ToDigest(rows->RowDigest(1)));
  EXPECT_EQ(states[1].flags[0].evidence, ToDigest(rows->RowDigest(0)));
  EXPECT_TRUE(states[2].kept());
}

TEST_F(StagesTest, AMajorityMayKeepItsAnswer) {
  const std::string text = JsonRow("a", "1") + JsonRow("a", "2") + JsonRow("a", "1") +
                           JsonRow("b", "1") + JsonRow("b", "2");
  EXPECT_THAT(Drops({File(text)}, {"label_conflicts", {{"action", "majority"}}}),
              ElementsAre("", "label_conflicts/label_conflict", "",
                          "label_conflicts/label_conflict", "label_conflicts/label_conflict"));
  EXPECT_THAT(Drops({File(text)}, {"label_conflicts", {{"action", "flag"}}}),
              ElementsAre("", "", "", "", ""));
}

std::string Long(const std::string& last) {
  std::string text;
  for (int i = 0; i < 60; ++i) absl::StrAppend(&text, "word", i, " ");
  return text + last;
}

TEST_F(StagesTest,
       ANearDuplicateWithTheSameAnswerLeavesAndOneWithAnotherAnswerIsFlaggedAndClustered) {
  const auto result =
      Run({File(JsonRow(Long("one"), "x") + JsonRow(Long("two"), "x") +
                JsonRow(Long("three"), "y") + JsonRow("something else entirely", "x"))},
          {{"near_duplicates"}});
  ASSERT_OK(result);
  const RowStates states = StatesOf(*result);
  EXPECT_TRUE(states[0].kept());
  EXPECT_EQ(states[1].drop_reason, "near_duplicates/near_duplicate");
  EXPECT_NEAR(states[1].flags[0].score, 56.0 / 58, 1e-9);  // 57 shingles each, 56 common
  EXPECT_TRUE(states[2].kept());
  EXPECT_EQ(states[2].flags[0].code, "similar_input_other_answer");
  EXPECT_FALSE(states[0].cluster.empty());
  EXPECT_EQ(states[0].cluster, states[2].cluster);
  EXPECT_EQ(states[0].split, states[2].split);
  EXPECT_TRUE(states[3].cluster.empty());
}

TEST_F(StagesTest, WordsThatAllInputsBeginWithSayNothingAboutSimilarity) {
  std::string text;
  for (int i = 0; i < 12; ++i) {
    text += JsonRow(
        "Classify the following support request into one of the known intents and answer with its "
        "name only: "
        "topic" +
            std::to_string(i * 37) + " item" + std::to_string(i * 91),
        "x");
  }
  const auto with = Run({File(text)}, {{"near_duplicates"}});
  ASSERT_OK(with);
  EXPECT_EQ(StepOf(*with, "near_duplicates").rows_out, 12);
  const auto without = Run({File(text)}, {{"near_duplicates", {{"strip_template", false}}}});
  ASSERT_OK(without);
  EXPECT_LT(StepOf(*without, "near_duplicates").rows_out, 12);
}

TEST_F(StagesTest, SystemPromptsAreNotPartOfTheComparison) {
  const auto row = [](const std::string& input) {
    nlohmann::json messages = {{{"role", "system"}, {"content", Long("")}},
                               {{"role", "user"}, {"content", input}},
                               {{"role", "assistant"}, {"content", "x"}}};
    return nlohmann::json{{"messages", messages}}.dump() + "\n";
  };
  EXPECT_THAT(Drops({File(row("alpha beta") + row("gamma delta"))}, {"near_duplicates"}),
              ElementsAre("", ""));
}

std::string Grouped(int groups, int per_group) {
  std::string text;
  for (int i = 0; i < groups * per_group; ++i) {
    text += JsonRow(absl::StrCat("r", i * 7919, " s", i * 104729), absl::StrCat("label", i % 4),
                    {{"group", absl::StrCat("package", i % groups)}});
  }
  return text;
}

TEST_F(StagesTest, SplitsHaveTheirSharesAndNoGroupLiesInTwo) {
  const auto result = Run({File(Grouped(200, 5))}, {});
  ASSERT_OK(result);
  const auto rows = RowsOf(*result);
  const RowStates states = StatesOf(*result);
  std::map<std::string, int> counts;
  std::map<std::string, std::set<std::string>> splits_of;
  for (int64_t i = 0; i < rows->size(); ++i) {
    ++counts[states[i].split];
    splits_of[rows->Get(i)->group.source].insert(states[i].split);
  }
  EXPECT_THAT(counts, ElementsAre(Pair("test", 100), Pair("train", 800), Pair("validation", 100)));
  for (const auto& [group, splits] : splits_of) EXPECT_EQ(splits.size(), 1u) << group;
}

TEST_F(StagesTest, EveryAnswerHasItsShareInEverySplit) {
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += JsonRow(absl::StrCat("r", i * 7919, " s", i * 104729), i % 10 == 0 ? "rare" : "common");
  }
  const auto result = Run({File(text)}, {});
  ASSERT_OK(result);
  const auto rows = RowsOf(*result);
  const RowStates states = StatesOf(*result);
  std::map<std::string, int> rare;
  for (int64_t i = 0; i < rows->size(); ++i) {
    if (dataset::AnswerText(*rows->Get(i)) == "rare") ++rare[states[i].split];
  }
  EXPECT_THAT(rare, ElementsAre(Pair("test", 4), Pair("train", 32), Pair("validation", 4)));
}

TEST_F(StagesTest, TheSeedChangesTheSplitAndNothingElseDoes) {
  const PipelineInput file = File(Grouped(100, 2));
  const auto first = Run({file}, {}, {}, 1);
  const auto other = Run({file}, {}, {}, 2);
  FakeStepCache empty;
  Pipeline fresh(*blobs_, empty, catalogue_, clock_, dir_ / "scratch2");
  const auto again = fresh.Run(
      {file}, *Resolve({.stages = {{"split", {{"min_rows", 0}}}}, .seed = 1}, catalogue_), {});
  ASSERT_OK(again);
  EXPECT_EQ(StatesOf(*first), StatesOf(*again));
  EXPECT_NE(StatesOf(*first), StatesOf(*other));
}

TEST_F(StagesTest, ExplicitSplitsAreHonouredAndRowsOfTrainThatShareAGroupWithTestLeave) {
  std::string train = JsonRow("leak", "x", {{"group", "g1"}});
  for (int i = 0; i < 10; ++i)
    train += JsonRow(absl::StrCat("free ", i), "x", {{"group", absl::StrCat("t", i)}});
  const auto result =
      Run({File(train, "train"), File(JsonRow("held out", "x", {{"group", "g1"}}), "test")}, {});
  ASSERT_OK(result);
  const RowStates states = StatesOf(*result);
  EXPECT_EQ(states[0].drop_reason, "split/leaks_into_test");
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(states[i].split, "train");
  EXPECT_EQ(states[11].split, "test");
}

TEST_F(StagesTest, RowsWithoutASplitNeverJoinASplitThatOtherRowsName) {
  const auto result = Run({File(Grouped(50, 1)), File(JsonRow("held out", "x"), "test")}, {});
  ASSERT_OK(result);
  const RowStates states = StatesOf(*result);
  for (int i = 0; i < 50; ++i) EXPECT_NE(states[i].split, "test");
}

TEST_F(StagesTest, LeakageMayBeAnError) {
  const auto result = Run({File(JsonRow("a", "1", {{"group", "g"}}), "train"),
                           File(JsonRow("b", "1", {{"group", "g"}}), "validation")},
                          {{"split", {{"leakage", "fail"}, {"min_rows", 0}}}});
  EXPECT_THAT(result, HasReasonThat("SPLITS_OVERLAP"));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("line 1 of the train rows"));
}

}  // namespace
}  // namespace crossover::curation
