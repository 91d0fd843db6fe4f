#include "common/dataset/row_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/dataset/digest.h"
#include "common/dataset/leaf.h"
#include "common/dataset/row.h"
#include "common/status/error.h"

namespace crossover::dataset {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

std::string ErrorOf(std::string_view json) {
  const auto parsed = ParseRow(json);
  return parsed.ok() ? "OK" : MessageOf(parsed.status());
}

TEST(RowJsonTest, ReadsAChatRow) {
  const auto parsed = ParseRow(
      R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->row.messages.size(), 3u);
  EXPECT_EQ(AnswerText(parsed->row), "a");
  EXPECT_EQ(LastUserText(InputOf(parsed->row)), "u");
  EXPECT_EQ(LossWeight(parsed->row, 1), 0);
  EXPECT_EQ(LossWeight(parsed->row, 2), 1);
}

TEST(RowJsonTest, NamesLineAndFieldOfArgumentsThatAreNotJson) {
  const auto parsed = ParseRowLine(
      R"({"messages":[{"role":"user","content":"u"},{"role":"user","content":"v"},{"role":"assistant","content":null,)"
      R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{oops"}}]}]})",
      536);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(MessageOf(parsed.status()),
            "line 536: messages[2].tool_calls[0].function.arguments is not valid JSON");
  EXPECT_TRUE(HasReason(parsed.status(), "ROW_INVALID"));
  const ErrorDetail detail = DetailOf(parsed.status());
  EXPECT_EQ(detail.metadata.at("line"), "536");
  ASSERT_EQ(detail.violations.size(), 1u);
  EXPECT_EQ(detail.violations[0].field, "messages[2].tool_calls[0].function.arguments");
}

struct BadRow {
  const char* json;
  const char* message;
};

class BadRowTest : public ::testing::TestWithParam<BadRow> {};

TEST_P(BadRowTest, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(ErrorOf(GetParam().json), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, BadRowTest,
    ::testing::Values(
        BadRow{"{", "row is not valid JSON"},
        BadRow{"[]", "row must be a JSON object, not an array"},
        BadRow{"{}", "messages is missing: a row is {\"messages\""},
        BadRow{R"({"messages":{}})", "messages must be an array, not an object"},
        BadRow{R"({"messages":[]})", "messages is empty"},
        BadRow{R"({"messages":["x"]})",
               "messages[0] must be an object {role, content}, not a string"},
        BadRow{R"({"messages":[{"content":"x"}]})", "messages[0].role is missing"},
        BadRow{R"({"messages":[{"role":"robot","content":"x"}]})", "messages[0].role is `robot`"},
        BadRow{R"({"messages":[{"role":"user"}]})", "messages[0].content is missing"},
        BadRow{R"({"messages":[{"role":"user","content":7}]})",
               "messages[0].content must be a string or an array"},
        BadRow{R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
               "content[0].type is `image_url`"},
        BadRow{R"({"messages":[{"role":"user","content":"x"}]})",
               "messages[0].role is `user`: the last message"},
        BadRow{
            R"({"messages":[{"role":"user","content":"x","wieght":1},{"role":"assistant","content":"y"}]})",
            "messages[0].wieght is not known"},
        BadRow{
            R"({"messages":[{"role":"user","content":"x","weight":1},{"role":"assistant","content":"y"}]})",
            "messages[0].weight is allowed on assistant"},
        BadRow{
            R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","weight":-1}]})",
            "messages[1].weight must be 0 or more"},
        BadRow{
            R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","weight":0}]})",
            "nothing would be learnt"},
        BadRow{
            R"({"messages":[{"role":"tool","content":"x","tool_call_id":"c"},{"role":"assistant","content":"y"}]})",
            "no tool call before it has this id"},
        BadRow{
            R"({"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},)"
            R"({"role":"user","content":"x"},{"role":"assistant","content":"y"}]})",
            "messages[1] comes before a tool message has answered tool call `c`"},
        BadRow{
            R"({"messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}]})",
            "arguments must be a string that holds JSON, not an object"},
        BadRow{R"({"messages":[{"role":"assistant","content":"x"}],"split":"holdout"})",
               "split is `holdout`"},
        BadRow{R"({"messages":[{"role":"assistant","content":"x"}],"tools":[{"type":"function"}]})",
               "tools[0].function must be an object"},
        BadRow{R"({"prompt":"x"})", "completion is missing"},
        BadRow{R"({"input":{"messages":[{"role":"user","content":"x"}]},"preferred_output":"y"})",
               "non_preferred_output is missing"}));

TEST(RowJsonTest, ReadsToolTurns) {
  EXPECT_EQ(ErrorOf(R"({"messages":[{"role":"user","content":"u"},
    {"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
    {"role":"tool","tool_call_id":"c","content":"r"},{"role":"assistant","content":"done","refusal":null}],
    "tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"parallel_tool_calls":false})"),
            "OK");
}

TEST(RowJsonTest, ReadsPromptAndCompletion) {
  const auto parsed = ParseRow(R"({"prompt":"2+2?","completion":"4"})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->row.messages.size(), 2u);
  EXPECT_EQ(parsed->row.messages[0].role, "user");
  EXPECT_EQ(AnswerText(parsed->row), "4");
}

TEST(RowJsonTest, ReadsPreferenceRowsInBothSpellings) {
  for (
      const char* json :
      {R"({"input":{"messages":[{"role":"user","content":"q"}]},"preferred_output":[{"role":"assistant","content":"good"}],
            "non_preferred_output":[{"role":"assistant","content":"bad"}]})",
       R"({"input":{"messages":[{"role":"user","content":"q"}]},"preferred_completion":"good","non_preferred_completion":"bad"})",
       R"({"prompt":"q","chosen":"good","rejected":"bad"})"}) {
    const auto parsed = ParseRow(json);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(AnswerText(parsed->row), "good");
    ASSERT_EQ(parsed->row.rejected.size(), 1u);
    EXPECT_EQ(TextOf(parsed->row.rejected[0]), "bad");
  }
}

TEST(RowJsonTest, WarnsAboutKeysThatNothingReads) {
  const auto parsed = ParseRow(R"({"prompt":"a","completion":"b","id":7})");
  ASSERT_TRUE(parsed.ok());
  ASSERT_EQ(parsed->warnings.size(), 1u);
  EXPECT_EQ(parsed->warnings[0].field, "id");
}

TEST(RowJsonTest, KeepsEveryFieldOnTheWayThroughJson) {
  Row row;
  row.messages = {{.role = "user", .parts = R"([{"text":"hi","type":"text"}])"},
                  {.role = "assistant", .tool_calls = {{"c", "f", "{}"}}, .weight = 0.5},
                  {.role = "tool", .content = "r", .tool_call_id = "c"},
                  {.role = "assistant", .content = "é\n\"", .name = "n", .weight = 1}};
  row.tools = R"([{"function":{"name":"f"},"type":"function"}])";
  row.response_format = R"({"type":"json_object"})";
  row.rejected = {{.role = "assistant", .content = "no"}};
  row.weight = 2;
  row.fields = R"({"section":"net"})";
  row.origin = {"RECORDED", "sha256:f", 12, "sha256:p", "sha256:v", "sha256:t"};
  row.group = {"c1", "u1", "t1", "s1"};
  row.event_time = "2026-11-22T08:00:00Z";
  row.language = "en";
  row.split = "test";
  row.cluster = "7";
  const auto parsed = ParseRow(RowToJson(row));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->row, row);
  EXPECT_TRUE(parsed->warnings.empty());
  EXPECT_EQ(TextOf(row.messages[0]), "hi");
}

TEST(RowJsonTest, RefusesNestingThatCouldExhaustTheStack) {
  const std::string deep =
      R"({"messages":)" + std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("nests deeper than 64 levels"));
}

TEST(RowJsonTest, RefusesBytesThatAreNotUtf8) {
  EXPECT_THAT(ErrorOf("{\"prompt\":\"\xff\",\"completion\":\"b\"}"),
              HasSubstr("row is not valid JSON"));
}

TEST(RowJsonTest, InputRowsNeedNoAnswer) {
  const auto row = ParseInputRow(R"({"messages":[{"role":"user","content":"q"}]})");
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(AnswerOf(*row), nullptr);
}

TEST(RowJsonTest, ATeachersLogProbabilitiesAreCarriedAndChangeTheLeafButNotTheRow) {
  const auto parsed = ParseRow(
      R"({"prompt":"2+2","completion":"4","logprobs":{"content":[{"token":"4","logprob":-0.25}]}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->warnings.empty());
  Row row = parsed->row;
  row.split = "train";
  const auto back = ParseLeaf(*LeafBytes(row));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->logprobs, row.logprobs);
  EXPECT_EQ(ParseRow(RowToJson(row))->row.logprobs, row.logprobs);
  Row plain = row;
  plain.logprobs.clear();
  EXPECT_EQ(*RowDigest(plain), *RowDigest(row));
  EXPECT_NE(*LeafBytes(plain), *LeafBytes(row));
  EXPECT_FALSE(ParseRow(R"({"prompt":"2+2","completion":"4","logprobs":[1]})").ok());
}

}  // namespace
}  // namespace crossover::dataset
