#include "common/prompt/prompt_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/prompt/diff.h"
#include "common/prompt/render.h"
#include "common/status/error.h"

namespace crossover::prompt {
namespace {

using dataset::Message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PromptSpec Classifier() {
  PromptSpec spec;
  spec.messages = {{"system", "Answer in {{locale}}. Return {\"a\":{\"b\":1}}"},
                   {"user", "Text: {{ input }}"}};
  spec.variables = R"({"properties":{"locale":{"type":"string"}},"type":"object"})";
  return spec;
}

dataset::Row Example(const std::string& input, const std::string& answer) {
  dataset::Row row;
  row.messages = {{.role = "system", .content = "old"},
                  {.role = "user", .content = input},
                  {.role = "assistant", .content = answer, .weight = 1}};
  return row;
}

std::vector<std::string> Flat(const std::vector<Message>& messages) {
  std::vector<std::string> flat;
  for (const Message& message : messages) flat.push_back(message.role + ":" + TextOf(message));
  return flat;
}

TEST(PromptTest, RendersSystemExamplesAndInputInThisOrder) {
  PromptSpec spec = Classifier();
  spec.few_shot = {Example("one", "1")};
  const auto messages = Render(spec, {{"input", "two"}, {"locale", "de"}});
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_THAT(Flat(*messages), ElementsAre("system:Answer in de. Return {\"a\":{\"b\":1}}",
                                           "user:Text: one", "assistant:1", "user:Text: two"));
}

TEST(PromptTest, AnExampleMayHaveItsOwnValuesOfTheOtherVariables) {
  PromptSpec spec = Classifier();
  spec.messages[1].content = "{{locale}}: {{input}}";
  spec.few_shot = {Example("one", "1")};
  spec.few_shot[0].fields = R"({"locale":"fr"})";
  const auto messages = Render(spec, {{"input", "two"}, {"locale", "de"}});
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_THAT(Flat(*messages),
              ElementsAre(HasSubstr("system:"), "user:fr: one", "assistant:1", "user:de: two"));
  PromptSpec plain = spec;
  plain.few_shot[0].fields.clear();
  EXPECT_NE(*Digest(spec), *Digest(plain));
}

TEST(PromptTest, ValuesAreNotReadAsTemplates) {
  const auto messages = Render(Classifier(), {{"input", "{{locale}} \\{{"}, {"locale", "de"}});
  ASSERT_TRUE(messages.ok());
  EXPECT_EQ(TextOf(messages->back()), "Text: {{locale}} \\{{");
}

TEST(PromptTest, ExamplesOfSeveralTurnsAreUsedAsTheyAre) {
  PromptSpec spec = Classifier();
  dataset::Row row;
  row.messages = {{.role = "user", .content = "a"},
                  {.role = "assistant", .content = "b"},
                  {.role = "user", .content = "c"},
                  {.role = "assistant", .content = "d"}};
  spec.few_shot = {row};
  const auto messages = Render(spec, {{"input", "x"}, {"locale", "en"}});
  ASSERT_TRUE(messages.ok());
  EXPECT_EQ(messages->size(), 6u);
  EXPECT_EQ(TextOf((*messages)[1]), "a");
}

TEST(PromptTest, AChatRequestGivesItsLastUserMessageAndItsHistory) {
  const std::vector<Message> request = {{.role = "system", .content = "client's own"},
                                        {.role = "user", .content = "first"},
                                        {.role = "assistant", .content = "reply"},
                                        {.role = "user", .content = "second"}};
  const auto messages = RenderChat(Classifier(), request, {{"locale", "en"}});
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_THAT(Flat(*messages), ElementsAre(HasSubstr("system:Answer in en"), "user:first",
                                           "assistant:reply", "user:Text: second"));
}

TEST(PromptTest, AChatRequestWithoutUserMessageIsRefused) {
  EXPECT_TRUE(HasReason(RenderChat(Classifier(), {{.role = "system", .content = "x"}}, {}).status(),
                        "FIELD_REQUIRED"));
}

TEST(PromptTest, AnUnknownVariableIsNamedWithItsPlace) {
  PromptSpec spec = Classifier();
  spec.messages[1].content = "line one\n  {{inptu}} {{input}}";
  const absl::Status status = Validate(spec);
  EXPECT_TRUE(HasReason(status, "PROMPT_INVALID"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("messages[1].content: line 2 column 3: unknown variable `inptu`; the "
                        "prompt declares: input, locale"));
}

TEST(PromptTest, BracesThatHoldNoNameAreAnErrorUnlessEscaped) {
  PromptSpec spec = Classifier();
  spec.messages[1].content = "{{input}} {{ 1 + 1 }}";
  EXPECT_TRUE(HasReason(Validate(spec), "PROMPT_INVALID"));
  spec.messages[1].content = "{{input}} \\{{ 1 + 1 }}";
  const auto messages = Render(spec, {{"input", "x"}, {"locale", "en"}});
  ASSERT_TRUE(messages.ok()) << messages.status();
  EXPECT_EQ(TextOf(messages->back()), "x {{ 1 + 1 }}");
}

TEST(PromptTest, ValuesThatAreMissingOrNotDeclaredAreErrors) {
  EXPECT_TRUE(HasReason(Render(Classifier(), {{"input", "x"}}).status(), "VARIABLE_MISSING"));
  EXPECT_TRUE(
      HasReason(Render(Classifier(), {{"input", "x"}, {"locale", "en"}, {"o", ""}}).status(),
                "PROMPT_INVALID"));
}

TEST(PromptTest, APromptThatNeverUsesTheInputIsRefused) {
  PromptSpec spec = Classifier();
  spec.messages.pop_back();
  EXPECT_THAT(std::string(Validate(spec).message()), HasSubstr("never use {{input}}"));
}

TEST(PromptTest, StrategiesThatCannotBeRenderedSaySo) {
  PromptSpec spec = Classifier();
  spec.strategy = Strategy::kDecomposed;
  EXPECT_TRUE(
      HasReason(Render(spec, {{"input", "x"}, {"locale", "en"}}).status(), "NOT_IMPLEMENTED"));
}

TEST(PromptTest, SurvivesTheWayThroughJson) {
  PromptSpec spec = Classifier();
  spec.few_shot = {Example("one", "1")};
  spec.few_shot[0].messages[2].weight.reset();
  spec.response_format = R"({"type":"json_object"})";
  spec.sampling = {
      .temperature = 0.7, .top_p = 0.9, .top_k = 40, .max_tokens = 64, .seed = 7, .stop = {"\n"}};
  spec.strategy = Strategy::kStepByStep;
  spec.retrieval = R"({"k":3})";
  const auto back = Parse(ToJson(spec));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, spec);
  EXPECT_EQ(*Digest(*back), *Digest(spec));
}

TEST(PromptTest, TheDigestChangesWithTheTextAndNotWithTheOrderOfKeys) {
  const auto one =
      Parse(R"({"messages":[{"role":"user","content":"{{input}}"}],"sampling":{"temperature":1}})");
  const auto same = Parse(
      R"({"sampling":{"temperature":1.0},"messages":[{"content":"{{input}}","role":"user"}]})");
  const auto other = Parse(
      R"({"messages":[{"role":"user","content":"{{input}}."}],"sampling":{"temperature":1}})");
  EXPECT_EQ(*Digest(*one), *Digest(*same));
  EXPECT_NE(*Digest(*one), *Digest(*other));
}

TEST(PromptTest, UnknownKeysAreErrors) {
  EXPECT_THAT(std::string(Parse(R"({"messages":[],"temprature":1})").status().message()),
              HasSubstr("temprature is not known"));
  EXPECT_THAT(
      std::string(
          Parse(R"({"messages":[{"role":"user","content":"{{input}}"}],"sampling":{"temp":1}})")
              .status()
              .message()),
      HasSubstr("sampling.temp is not known"));
}

TEST(PromptDiffTest, NamesFieldsAndLines) {
  PromptSpec after = Classifier();
  after.messages[0].content = "Be brief.";
  after.few_shot = {Example("one", "1")};
  after.sampling.temperature = 0;
  const std::vector<Change> changes = Diff(Classifier(), after);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].field, "few_shot");
  EXPECT_EQ(changes[0].kind, Change::Kind::kAdded);
  EXPECT_EQ(changes[1].field, "messages[0].content");
  EXPECT_THAT(changes[1].lines, HasSubstr("+Be brief.\n"));
  EXPECT_EQ(changes[2].field, "sampling");
  EXPECT_THAT(Diff(after, after), IsEmpty());
}

TEST(PromptDiffTest, KeepsLinesThatBothHave) {
  EXPECT_EQ(LineDiff("a\nb\nc", "a\nx\nc"), " a\n-b\n+x\n c\n");
}

}  // namespace
}  // namespace crossover::prompt
