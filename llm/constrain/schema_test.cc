#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/status/error.h"
#include "llm/constrain/testing_constraint.h"

namespace crossover::llm::constrain {
namespace {

using testing::HasSubstr;

Automaton Compiled(const std::string& schema) {
  auto automaton = CompileAutomaton(SchemaSpec(schema));
  EXPECT_TRUE(automaton.ok()) << schema << ": " << automaton.status();
  if (!automaton.ok()) return *CompileAutomaton(RegexSpec("unusable"));
  return *std::move(automaton);
}

std::string Refusal(const std::string& schema) {
  const absl::Status status = CompileAutomaton(SchemaSpec(schema)).status();
  EXPECT_FALSE(status.ok()) << schema;
  EXPECT_TRUE(status.ok() || HasReason(status, "CONSTRAINT_INVALID")) << status;
  return std::string(status.message());
}

struct Case {
  const char* schema;
  std::vector<const char*> allowed;
  std::vector<const char*> refused;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    const Automaton automaton = Compiled(one.schema);
    for (const char* text : one.allowed) {
      EXPECT_TRUE(Allows(automaton, text)) << one.schema << " should allow " << text;
      EXPECT_FALSE(nlohmann::json::parse(text, nullptr, false).is_discarded()) << text;
    }
    for (const char* text : one.refused)
      EXPECT_FALSE(Allows(automaton, text)) << one.schema << " should not allow " << text;
  }
}

TEST(SchemaTest, Types) {
  Check(
      {{R"({"type":"null"})", {"null"}, {"", "nul", "0", "null "}},
       {R"({"type":["boolean","integer"]})", {"true", "false", "0", "-12"}, {"1.5", "01", "\"\""}},
       {R"({"type":"number"})", {"1.5", "-0", "1e5", "2.25E-7"}, {"1.", ".5", "+1", "1e", "1e999"}},
       {R"({"type":"string"})",
        {R"("")", R"("a\"\\\/\u00e9\ud83d\ude00")", "\"\u00e9\""},
        {R"("\x")", R"("\ud83d")", R"("\ude00")", "\"\n\"", "\"\xff\""}},
       {R"(true)",
        {"{}", R"([1, "a", {"b": null}])", "[\n  1,\n  2\n]"},
        {"[1,]", "{,}", "[1 ,2]"}},
       {R"({})", {"3"}, {"x"}}});
}

TEST(SchemaTest, ObjectsKeepTheOrderOfTheSchema) {
  Check(
      {{R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"},"c":{"type":"null"}},
              "required":["b"]})",
        {R"({"b":1})", R"({"b": 1, "a": "x"})", R"({"b":1,"c":null})", "{\n  \"b\": 1\n}"},
        {"{}", R"({"a":"x","b":1})", R"({"b":1,"b":1})", R"({"b":1,})", R"({"b":1,"d":2})",
         R"({"b":"1"})"}},
       {R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
        {"{}", R"({"a":1})", R"({"x":"y"})", R"({"a":1,"x":"y","aa":""})", R"({"":""})"},
        {R"({"a":"y"})", R"({"x":1})", R"({"x":"y","a":1})", R"({"x":"y",})"}},
       {R"({"type":"object","properties":{},"additionalProperties":false})",
        {"{}", "{ }"},
        {R"({"a":1})"}},
       {R"({"type":"object","required":["k"]})",
        {R"({"k":[]})", R"({"k":1,"l":2})"},
        {"{}", R"({"l":2})"}},
       {R"({"type":"object","properties":{"a":false,"q\"":{}}})",
        {"{}", R"({"q\"":1})"},
        {R"({"a":1})"}}});
}

TEST(SchemaTest, Arrays) {
  Check({{R"({"type":"array","items":{"type":"integer"}})",
          {"[]", "[1]", "[1, 2,3]"},
          {"[1,]", "[,1]", "[\"a\"]"}},
         {R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":2})",
          {"[1]", "[1,2]"},
          {"[]", "[1,2,3]"}},
         {R"({"type":"array","items":{"type":"integer"},"minItems":2})",
          {"[1,2]", "[1,2,3,4]"},
          {"[1]"}},
         {R"({"prefixItems":[{"type":"string"},{"type":"null"}]})",
          {"[]", R"(["a"])", R"(["a", null])"},
          {R"(["a",null,1])", "[null]"}},
         {R"({"prefixItems":[{"type":"string"}],"items":{"type":"null"}})",
          {R"(["a",null,null])"},
          {R"(["a","b"])"}},
         {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}}});
}

TEST(SchemaTest, Strings) {
  Check({{R"({"type":"string","minLength":2,"maxLength":3})",
          {R"("ab")", R"("a\n")", "\"\u00e9\U0001F600x\"", R"("\ud83d\ude00a")"},
          {R"("a")", R"("abcd")"}},
         {R"({"type":"string","minLength":2})", {R"("ab")", R"("abcdef")"}, {R"("a")"}},
         {R"({"type":"string","pattern":"^a+$"})", {R"("aa")"}, {R"("")", R"("ab")"}},
         {R"({"type":"string","pattern":"b"})",
          {R"("b")", R"("abc")", R"("\"b\n")"},
          {R"("a")", "\"b\n\""}},
         {R"({"type":"string","pattern":"^[a-z\"]+$","minLength":2,"maxLength":3})",
          {R"("ab")", R"("\"\"a")"},
          {R"("a")", R"("abcd")"}},
         {R"({"type":"string","format":"date"})",
          {R"("2024-02-29")", R"("1999-12-31")"},
          {R"("2023-02-29")", R"("2024-13-01")", R"("1900-02-29")"}},
         {R"({"type":"string","format":"date-time"})",
          {R"("2024-02-29T23:59:59Z")", R"("2024-01-01T00:00:00.5+01:00")"},
          {R"("2024-02-29 10:00:00Z")"}},
         {R"({"type":"string","format":"uuid"})",
          {R"("123e4567-e89b-12d3-a456-426614174000")"},
          {R"("123")"}},
         {R"({"type":"string","format":"email"})", {R"("a.b@c.de")"}, {R"("a@")", R"("@b")"}},
         {R"({"type":"string","format":"ipv4"})",
          {R"("255.0.10.1")"},
          {R"("256.0.0.1")", R"("1.2.3")"}}});
}

TEST(SchemaTest, EnumAndConst) {
  Check({{R"({"enum":["a","b\n",1,null,[1,{"x":2}]]})",
          {R"("a")", R"("b\n")", "1", "null", R"([1, {"x":2}])"},
          {R"("c")", "2", "[1]"}},
         {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
         {R"({"const":{"a":[]}})", {R"({"a":[]})"}, {"{}"}},
         {R"({"enum":["aa","b","ccc"],"maxLength":2,"pattern":"^[ac]"})",
          {R"("aa")"},
          {R"("b")", R"("ccc")"}},
         {R"({"enum":[1,2,3],"minimum":2})", {"2", "3"}, {"1"}}});
}

TEST(SchemaTest, CombinationsAreWorkedIn) {
  Check(
      {{R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
        {"5", R"("a")"},
        {R"("ab")"}},
       {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"anyOf":[{"required":["a"]},{"required":["b"]}]})",
        {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
        {"{}"}},
       {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},"b":{"type":"null"}}}]})",
        {R"({"a":3})", R"({"a":4,"b":null})"},
        {R"({"a":2})", "{}"}},
       {R"({"allOf":[{"additionalProperties":false,"properties":{"a":{}}},{"properties":{"b":{}}}]})",
        {R"({"a":1})", "{}"},
        {R"({"b":1})"}},
       {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"x"},"n":{"type":"integer"}},"required":["k","n"]},
                       {"type":"object","properties":{"k":{"const":"y"}},"required":["k"]},{"type":"string"}]})",
        {R"({"k":"x","n":1})", R"({"k":"y"})", R"("s")"},
        {R"({"k":"y","n":1})"}},
       {R"({"oneOf":[{"type":"string","maxLength":2},{"type":"string","minLength":3}]})",
        {R"("ab")", R"("abc")"},
        {}}});
}

TEST(SchemaTest, References) {
  Check(
      {{R"({"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"integer"}}})", {"1"}, {"\"\""}},
       {R"({"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v","next"]})",
        {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"},
        {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
       {R"({"$defs":{"t":{"type":"array","items":{"$ref":"#/$defs/t"}}},"$ref":"#/$defs/t"})",
        {"[]", "[[],[[]]]"},
        {"[1]", "[[]"}},
       {R"({"$ref":"#/$defs/x","maximum":5,"$defs":{"x":{"type":"integer","minimum":3}}})",
        {"3", "5"},
        {"2", "6"}}});
}

TEST(SchemaTest, IntegersWithinBounds) {
  const std::pair<int, int> bounds[] = {{0, 0},    {-1, 1},  {7, 131}, {-250, -9},  {-33, 1204},
                                        {99, 100}, {10, 99}, {0, 255}, {1000, 1999}};
  for (const auto& [low, high] : bounds) {
    const nlohmann::json schema = {{"type", "integer"}, {"minimum", low}, {"maximum", high}};
    const Automaton automaton = Compiled(schema.dump());
    for (int value = -1500; value <= 2500; ++value)
      ASSERT_EQ(Allows(automaton, std::to_string(value)), low <= value && value <= high)
          << schema << " " << value;
    EXPECT_FALSE(Allows(automaton, "-0"));
    EXPECT_FALSE(Allows(automaton, "007"));
  }
  Check({{R"({"type":"integer","exclusiveMinimum":2,"exclusiveMaximum":4.5})",
          {"3", "4"},
          {"2", "5"}},
         {R"({"type":"integer","minimum":-3})", {"-3", "0", "123456789012345678"}, {"-4"}},
         {R"({"type":"integer","maximum":10})", {"10", "-99999"}, {"11"}}});
}

TEST(SchemaTest, NumbersWithinBounds) {
  const char* const numbers[] = {"0",  "0.5",   "1",  "1.0",  "1.5",  "-0.5",
                                 "-1", "-1.5",  "-2", "-2.0", "-2.5", "0.25",
                                 "2",  "2.001", "10", "9.9",  "10.5", "-10"};
  const std::pair<double, double> bounds[] = {{0, 1}, {-2, 0},   {-2, 10},
                                              {1, 2}, {-10, -1}, {0, 10}};
  for (const auto& [low, high] : bounds) {
    for (const bool exclusive : {false, true}) {
      const std::string prefix = exclusive ? "exclusiveM" : "m";
      const nlohmann::json schema = {
          {"type", "number"}, {prefix + "inimum", low}, {prefix + "aximum", high}};
      const Automaton automaton = Compiled(schema.dump());
      for (const std::string text : numbers) {
        const double value = std::stod(text);
        const bool valid = exclusive ? low < value && value < high : low <= value && value <= high;
        EXPECT_EQ(Allows(automaton, text), valid) << schema << " " << text;
      }
    }
  }
  Check({{R"({"type":"number","minimum":0})", {"0", "0.0", "123.5"}, {"-1", "-0.5"}},
         {R"({"type":"number","exclusiveMinimum":0})", {"0.1", "5"}, {"0", "0.0"}}});
}

TEST(SchemaTest, WhatIsNotServedIsNamedWithItsPlace) {
  EXPECT_THAT(Refusal(R"({"properties":{"a/b":{"not":{}}}})"),
              testing::AllOf(HasSubstr("#/properties/a~1b"), HasSubstr("not")));
  for (const char* keyword :
       {"patternProperties", "dependentSchemas", "contains", "multipleOf", "if", "minProperties"})
    EXPECT_THAT(Refusal(nlohmann::json({{keyword, 1}}).dump()), HasSubstr(keyword));
  EXPECT_THAT(Refusal(R"({"uniqueItems":true})"), HasSubstr("uniqueItems"));
  EXPECT_THAT(Refusal(R"({"type":"string","format":"color"})"),
              testing::AllOf(HasSubstr("#/format"), HasSubstr("color")));
  EXPECT_THAT(Refusal(R"({"type":"number","minimum":0.5})"), HasSubstr("#/minimum"));
  EXPECT_THAT(Refusal(R"({"$ref":"other.json"})"), HasSubstr("other.json"));
  EXPECT_THAT(Refusal(R"({"$ref":"#/$defs/none"})"), HasSubstr("names nothing"));
  EXPECT_THAT(Refusal(R"({"type":"text"})"), HasSubstr("#/type"));
  EXPECT_THAT(Refusal(R"x({"pattern":"(?=a)"})x"), HasSubstr("#/pattern"));
  EXPECT_THAT(Refusal(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), HasSubstr("anyOf"));
  EXPECT_THAT(Refusal(R"({"items":[{}]})"), HasSubstr("prefixItems"));
  EXPECT_THAT(Refusal("[1]"), HasSubstr("#"));
  EXPECT_THAT(Refusal("{"), HasSubstr("no JSON"));
}

TEST(SchemaTest, WhatCannotBeMetIsRefused) {
  EXPECT_THAT(Refusal(R"({"enum":[]})"), HasSubstr("#/enum"));
  EXPECT_THAT(Refusal(R"({"type":"string","minLength":3,"maxLength":2})"),
              HasSubstr("minLength is over maxLength"));
  EXPECT_THAT(Refusal("false"), HasSubstr("cannot be met"));
  EXPECT_THAT(Refusal(R"({"allOf":[{"type":"string"},{"type":"integer"}]})"),
              HasSubstr("cannot be met"));
  EXPECT_THAT(Refusal(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"),
              HasSubstr("cannot be met"));
  EXPECT_THAT(Refusal(R"({"properties":{"a":{}},"required":["b"],"additionalProperties":false})"),
              HasSubstr("cannot be met"));
}

TEST(SchemaTest, MaliciousSchemasEndSoon) {
  EXPECT_THAT(Refusal(R"({"$ref":"#"})"), HasSubstr("itself"));
  EXPECT_THAT(Refusal(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})"), HasSubstr("itself"));
  EXPECT_THAT(Refusal(R"({"type":"string","maxLength":1000000000})"), HasSubstr("too large"));
  EXPECT_THAT(Refusal(R"({"type":"array","minItems":1000000000})"), HasSubstr("too large"));
  EXPECT_THAT(Refusal(std::string(200, '[') + std::string(200, ']')), HasSubstr("deep"));
  EXPECT_THAT(Refusal(std::string(200'000, ' ')), HasSubstr("bytes"));
  nlohmann::json laughs = {{"$ref", "#/$defs/d0"}};
  for (int i = 0; i < 50; ++i) {
    const nlohmann::json next = {{"$ref", "#/$defs/d" + std::to_string(i + 1)}};
    laughs["$defs"]["d" + std::to_string(i)] = {{"allOf", {next, next}}};
  }
  laughs["$defs"]["d50"] = {{"type", "null"}};
  EXPECT_TRUE(Allows(Compiled(laughs.dump()), "null"));
  nlohmann::json choices = {{"allOf", nlohmann::json::array()}};
  for (int i = 0; i < 40; ++i)
    choices["allOf"].push_back({{"anyOf", {{{"minLength", i}}, {{"maxLength", 90 + i}}}}});
  EXPECT_THAT(Refusal(choices.dump()), HasSubstr("too many"));
}

TEST(SpecTest, ObjectsChoicesAndToolCalls) {
  const auto object = CompileAutomaton({.kind = ConstraintSpec::Kind::kJsonObject});
  ASSERT_TRUE(object.ok());
  EXPECT_TRUE(Allows(*object, R"({"a": [1, {"b": "c"}], "d": -2.5})"));
  EXPECT_FALSE(Allows(*object, "[]"));
  const auto choice = CompileAutomaton(
      {.kind = ConstraintSpec::Kind::kChoice, .choices = {"yes", "yesterday", "no"}});
  ASSERT_TRUE(choice.ok());
  TextReader reader(*choice);
  EXPECT_TRUE(reader.Read("yes") && reader.whole() && !reader.finished());
  EXPECT_TRUE(reader.Read("terday") && reader.whole() && reader.finished());
  EXPECT_FALSE(Allows(*choice, "ye"));
  const ConstraintSpec call = {
      .kind = ConstraintSpec::Kind::kToolCall,
      .tools = {
          {"f", R"({"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]})"},
          {"g", ""}}};
  const auto calls = CompileAutomaton(call);
  ASSERT_TRUE(calls.ok()) << calls.status();
  EXPECT_TRUE(
      Allows(*calls, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\":1}}\n</tool_call>"));
  EXPECT_FALSE(Allows(*calls, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_TRUE(Allows(*calls, "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(CompileAutomaton({.kind = ConstraintSpec::Kind::kChoice}).ok());
}

}  // namespace
}  // namespace crossover::llm::constrain
