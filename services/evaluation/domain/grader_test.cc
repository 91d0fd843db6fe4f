#include "services/evaluation/domain/grader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/error.h"

namespace crossover::evaluation {
namespace {

using ::testing::HasSubstr;

Grade Score(GraderSpec spec, const std::string& expected, const std::string& answer) {
  if (spec.name.empty()) spec.name = "g";
  auto grader = MakeGrader(spec);
  EXPECT_TRUE(grader.ok()) << grader.status();
  return (*grader)->Score(expected, answer);
}

TEST(GraderTest, ExactIgnoresOnlySurroundingSpace) {
  GraderSpec spec{.kind = GraderKind::kExact};
  EXPECT_EQ(Score(spec, "yes", " yes\n").score, 1);
  EXPECT_EQ(Score(spec, "yes", "Yes").score, 0);
  EXPECT_EQ(Score(spec, "yes", "").score, 0);
}

TEST(GraderTest, NormalisedEvensOutCaseSpaceAndPunctuation) {
  GraderSpec spec{.kind = GraderKind::kNormalised};
  EXPECT_EQ(Score(spec, "Straße 5, Bern", "STRASSE  5 - bern.").score, 1);
  EXPECT_EQ(Score(spec, "a b", "ab").score, 0);
}

TEST(GraderTest, RegexMatchesTheWholeAnswer) {
  EXPECT_EQ(Score({.kind = GraderKind::kRegex, .pattern = "[a-z]+ \\d+"}, "", "abc 12").score, 1);
  EXPECT_EQ(Score({.kind = GraderKind::kRegex, .pattern = "[a-z]+"}, "", "abc 12").score, 0);
  EXPECT_EQ(Score({.kind = GraderKind::kRegex}, "ab*", "abbb").score, 1)
      << "the expected text is the pattern";
  EXPECT_EQ(Score({.kind = GraderKind::kRegex}, "(", "x").score, 0);
}

TEST(GraderTest, RegexThatWouldRunForeverEnds) {
  Grade grade = Score({.kind = GraderKind::kRegex, .pattern = "(a+)+b"}, "", std::string(60, 'a'));
  EXPECT_EQ(grade.score, 0);
}

TEST(GraderTest, ChoiceFindsTheOneThatIsNamed) {
  GraderSpec spec{.kind = GraderKind::kChoice, .choices = {"games", "net", "web"}};
  EXPECT_EQ(Score(spec, "net", "Net").score, 1);
  EXPECT_EQ(Score(spec, "net", "The section is: net.").score, 1);
  EXPECT_EQ(Score(spec, "net", "network").score, 0);
  EXPECT_EQ(Score(spec, "net", "net or web").score, 0) << "hedging is no answer";
}

TEST(GraderTest, JsonValidityTellsRawFromFenced) {
  GraderSpec spec{.kind = GraderKind::kJsonValid};
  EXPECT_EQ(Score(spec, "", "{\"a\": 1}").score, 1);
  Grade fenced = Score(spec, "", "```json\n{\"a\": 1}\n```");
  EXPECT_EQ(fenced.score, 0);
  EXPECT_EQ(fenced.fields.at("raw"), 0);
  EXPECT_EQ(fenced.fields.at("unfenced"), 1);
  EXPECT_EQ(Score(spec, "", "{\"a\": 1} thanks").fields.at("unfenced"), 0);
  EXPECT_EQ(Score(spec, "", "").score, 0);
}

TEST(GraderTest, JsonFieldsScoreTheShareAndEachField) {
  GraderSpec spec{.kind = GraderKind::kJsonFields, .fields = {"section", "role"}};
  const std::string expected = R"({"section": "net", "role": "program", "language": null})";
  Grade half = Score(spec, expected, R"({"section": "net", "role": "data"})");
  EXPECT_EQ(half.score, 0.5);
  EXPECT_EQ(half.fields.at("section"), 1);
  EXPECT_EQ(half.fields.at("role"), 0);
  EXPECT_EQ(half.note, "wrong: role");
  spec.all = true;
  EXPECT_EQ(Score(spec, expected, R"({"section": "net", "role": "data"})").score, 0);
  EXPECT_EQ(Score(spec, expected, R"({"role": "program", "section": "net"})").score, 1);
  EXPECT_EQ(Score(spec, expected, "net program").score, 0);
  EXPECT_EQ(Score(spec, expected, "[]").score, 0);
}

TEST(GraderTest, JsonFieldsReadsFencedAnswersUnlessToldNotTo) {
  GraderSpec spec{.kind = GraderKind::kJsonFields};
  const std::string fenced = "```json\n{\"a\": 1}\n```";
  EXPECT_EQ(Score(spec, "{\"a\": 1}", fenced).score, 1);
  spec.raw_only = true;
  EXPECT_EQ(Score(spec, "{\"a\": 1}", fenced).score, 0);
}

TEST(GraderTest, FieldsDefaultToThoseOfTheExpectedAnswer) {
  Grade grade = Score({.kind = GraderKind::kJsonFields}, R"({"a": 1, "b": null})",
                      R"({"a": 1.0, "b": null, "c": 3})");
  EXPECT_EQ(grade.score, 1);
  EXPECT_EQ(grade.fields.size(), 2u);
}

TEST(GraderTest, JsonSchemaSaysWhatIsWrong) {
  GraderSpec spec{.kind = GraderKind::kJsonSchema,
                  .schema = R"({"type": "object", "required": ["section"],
                               "properties": {"section": {"enum": ["net", "web"]}}})"};
  EXPECT_EQ(Score(spec, "", R"({"section": "net"})").score, 1);
  Grade wrong = Score(spec, "", R"({"section": "games"})");
  EXPECT_EQ(wrong.score, 0);
  EXPECT_THAT(wrong.note, HasSubstr("section"));
  EXPECT_EQ(Score(spec, "", "```\n{\"section\": \"net\"}\n```").fields.at("unfenced"), 1);
  EXPECT_EQ(Score(spec, "", "net").note, "not JSON");
}

TEST(GraderTest, NumericTakesTheLastNumberWithinTolerance) {
  GraderSpec spec{.kind = GraderKind::kNumeric, .absolute_tolerance = 0.5};
  EXPECT_EQ(Score(spec, "12", "3 + 9 = 12.4").score, 1);
  EXPECT_EQ(Score(spec, "12", "13").score, 0);
  EXPECT_EQ(Score(spec, "1,200", "The total is 1200.").score, 1);
  EXPECT_EQ(Score({.kind = GraderKind::kNumeric, .relative_tolerance = 0.1}, "-100", "-109").score,
            1);
  EXPECT_EQ(Score(spec, "12", "twelve").score, 0);
  EXPECT_EQ(Score({.kind = GraderKind::kNumeric}, "4", "3-4").score, 1);
}

TEST(GraderTest, BadParametersNameTheGraderAndThePlace) {
  EXPECT_THAT(std::string(MakeGrader({.name = "id", .kind = GraderKind::kRegex, .pattern = "a("})
                              .status()
                              .message()),
              HasSubstr("grader id: pattern at character 3"));
  EXPECT_EQ(DetailOf(MakeGrader({.name = "c", .kind = GraderKind::kChoice}).status()).reason,
            "GRADER_INVALID");
  EXPECT_EQ(
      DetailOf(MakeGrader({.name = "s", .kind = GraderKind::kJsonSchema, .schema = "{"}).status())
          .reason,
      "GRADER_INVALID");
  EXPECT_EQ(DetailOf(MakeGrader({.kind = GraderKind::kExact}).status()).reason, "GRADER_INVALID");
  EXPECT_THAT(std::string(ParseGraderKind("magic").status().message()), HasSubstr("json_fields"));
}

}  // namespace
}  // namespace crossover::evaluation
