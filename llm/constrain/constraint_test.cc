#include "llm/constrain/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "llm/constrain/testing_constraint.h"

namespace crossover::llm {
namespace {

using constrain::kEndToken;
using constrain::RegexSpec;
using constrain::SchemaSpec;
using constrain::TextReader;
using constrain::TokensWithBytes;

// Tokens that cross the borders of strings, numbers and brackets in many ways, and twins.
std::vector<std::string> Tokens() {
  std::vector<std::string> more = {"{\"",
                                   "\":",
                                   "\": ",
                                   "\": \"",
                                   "\",",
                                   "\", \"",
                                   "\"}",
                                   "\"]",
                                   "\"]}",
                                   "},",
                                   "}}",
                                   "}]}",
                                   "],[",
                                   "[[",
                                   "[]",
                                   "[]}",
                                   "{}",
                                   "true",
                                   "false",
                                   "null",
                                   "tru",
                                   "e,",
                                   "1,",
                                   "12",
                                   "0.",
                                   ".5",
                                   "e1",
                                   "1e",
                                   "]]",
                                   "-1",
                                   "\n  ",
                                   " \"",
                                   "a",
                                   "ab",
                                   "abc",
                                   "name",
                                   "\"name\"",
                                   "\"name\": ",
                                   "x\"",
                                   "x\",\"",
                                   "\\\"",
                                   "\\n",
                                   "\\u00",
                                   "\xc3",
                                   "\xc3\xa9",
                                   "\xf0\x9f",
                                   "\x98\x80\"",
                                   " ",
                                   "  ",
                                   "   ",
                                   "\n",
                                   "aaaaaaaaaaaaaaaaaaaa",
                                   "\",\"value\":",
                                   "9}",
                                   "00"};
  more.insert(more.end(), {"ab", "\""});
  std::mt19937 random(7);
  const std::string alphabet = "ab\"{}[],: 01.-e\\n\ntru";
  for (int i = 0; i < 400; ++i) {
    std::string token;
    for (size_t n = 1 + random() % 5; n > 0; --n) token += alphabet[random() % alphabet.size()];
    more.push_back(token);
  }
  return TokensWithBytes(more);
}

std::vector<ConstraintSpec> Specs() {
  return {
      {.kind = ConstraintSpec::Kind::kJsonObject},
      SchemaSpec("true"),
      SchemaSpec(
          R"({"type":"object","properties":{"name":{"type":"string"},"value":{"type":"number"},
             "list":{"type":"array","items":{"enum":["a","ab",1,true]},"maxItems":3}},"required":["value"],"additionalProperties":{"type":"boolean"}})"),
      SchemaSpec(R"({"type":"array","items":{"$ref":"#"}})"),
      SchemaSpec(R"({"type":"string","minLength":2,"maxLength":30})"),
      SchemaSpec(
          R"({"anyOf":[{"type":"string","pattern":"^a+b?"},{"type":"integer","minimum":-7,"maximum":120},{"type":"null"}]})"),
      RegexSpec("[ab\"]{2,8}(\\n|e1)*"),
      {.kind = ConstraintSpec::Kind::kChoice, .choices = {"a", "ab", "abc1", "true"}}};
}

class ConstraintTest : public testing::Test {
 protected:
  std::shared_ptr<const Constraint> Compile(const ConstraintSpec& spec) {
    auto constraint = compiler_.Compile(spec);
    EXPECT_TRUE(constraint.ok()) << constraint.status();
    return *constraint;
  }

  const std::vector<std::string> tokens_ = Tokens();
  ConstraintCompiler compiler_{std::make_shared<TokenVocabulary>(tokens_)};
};

// What Restrict leaves.
std::vector<int32_t> Left(ConstraintState& state, size_t vocabulary) {
  std::vector<float> logits(vocabulary, 1);
  state.Restrict(std::vector<int32_t>{kEndToken}, logits);
  std::vector<int32_t> left;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) left.push_back(static_cast<int32_t>(i));
  }
  return left;
}

// Every token tried byte by byte from the beginning of the text.
std::vector<int32_t> ByForce(const Constraint& constraint, const std::string& text,
                             const std::vector<std::string>& tokens) {
  std::vector<int32_t> left;
  for (size_t i = 0; i < tokens.size(); ++i) {
    TextReader reader(constraint.automaton());
    EXPECT_TRUE(reader.Read(text));
    const bool allowed = static_cast<int32_t>(i) == kEndToken
                             ? reader.whole()
                             : !tokens[i].empty() && reader.Read(tokens[i]);
    if (allowed) left.push_back(static_cast<int32_t>(i));
  }
  return left;
}

TEST_F(ConstraintTest, TokensLeftAreThoseThatForceFinds) {
  std::mt19937 random(3);
  for (const ConstraintSpec& spec : Specs()) {
    const auto constraint = Compile(spec);
    for (int walk = 0; walk < 12; ++walk) {
      ConstraintState state(constraint);
      std::string text;
      for (int step = 0; step < 25 && !state.finished(); ++step) {
        const std::vector<int32_t> left = Left(state, tokens_.size());
        ASSERT_EQ(left, ByForce(*constraint, text, tokens_)) << spec.text << " after " << text;
        ASSERT_FALSE(left.empty());
        // Longer tokens more often, or all walks are made of bytes.
        int32_t token = left[random() % left.size()];
        for (int i = 0; i < 3; ++i) {
          const int32_t other = left[random() % left.size()];
          if (tokens_[other].size() > tokens_[token].size()) token = other;
        }
        if (token == kEndToken) break;
        ASSERT_TRUE(state.Accept(token));
        text += tokens_[token];
      }
    }
  }
}

TEST_F(ConstraintTest, WalksToTheEndGiveWholeTexts) {
  std::mt19937 random(5);
  for (const ConstraintSpec& spec : Specs()) {
    const auto constraint = Compile(spec);
    for (int walk = 0; walk < 20; ++walk) {
      ConstraintState state(constraint);
      std::string text;
      for (int step = 0; step < 400 && !state.finished(); ++step) {
        const std::vector<int32_t> left = Left(state, tokens_.size());
        // Ends where it may; else what closes goes first, so that most walks come to an end.
        if (std::find(left.begin(), left.end(), kEndToken) != left.end() && random() % 2) break;
        int32_t token = left[random() % left.size()];
        for (const int32_t other : left) {
          if ((tokens_[other] == "\"" || tokens_[other] == "]" || tokens_[other] == "}") &&
              random() % 3 == 0)
            token = other;
        }
        if (token == kEndToken) break;
        ASSERT_TRUE(state.Accept(token));
        text += tokens_[token];
      }
      if (!state.may_end()) continue;
      EXPECT_TRUE(constrain::Allows(constraint->automaton(), text));
      if (spec.kind == ConstraintSpec::Kind::kJsonObject ||
          spec.kind == ConstraintSpec::Kind::kJsonSchema) {
        EXPECT_FALSE(nlohmann::json::parse(text, nullptr, false).is_discarded()) << text;
      }
    }
  }
}

TEST_F(ConstraintTest, ATokenThatMayNotComeChangesNothing) {
  ConstraintState state(Compile(
      SchemaSpec(R"({"type":"object","properties":{"a":{"type":"null"}},"required":["a"]})")));
  EXPECT_FALSE(state.Accept('['));
  EXPECT_FALSE(state.Accept(kEndToken));
  EXPECT_FALSE(state.Accept(-1));
  EXPECT_FALSE(state.Accept(1'000'000));
  for (const char c : std::string(R"({"a":null)")) EXPECT_TRUE(state.Accept(c));
  EXPECT_FALSE(state.may_end());
  EXPECT_TRUE(state.Accept('}'));
  EXPECT_TRUE(state.may_end() && state.finished());
}

TEST_F(ConstraintTest, LogitsBeyondTheVocabularyAreForbidden) {
  ConstraintState state(Compile(RegexSpec("a*")));
  std::vector<float> logits(tokens_.size() + 70, 0);
  EXPECT_TRUE(state.Restrict({}, logits));
  EXPECT_TRUE(std::isfinite(logits['a']));
  EXPECT_FALSE(std::isfinite(logits.back()));
  EXPECT_FALSE(std::isfinite(logits[kEndToken]));
}

TEST(ConstraintStateTest, AVocabularyWithoutTheByteLeavesNothing) {
  ConstraintCompiler compiler(
      std::make_shared<TokenVocabulary>(std::vector<std::string>{"a", "ab"}));
  const auto constraint = compiler.Compile(RegexSpec("ac"));
  ASSERT_TRUE(constraint.ok());
  ConstraintState state(*constraint);
  ASSERT_TRUE(state.Accept(0));
  std::vector<float> logits(2, 0);
  EXPECT_FALSE(state.Restrict({}, logits));
}

TEST_F(ConstraintTest, EqualSpecsAreCompiledOnce) {
  EXPECT_EQ(Compile(SchemaSpec("true")), Compile(SchemaSpec("true")));
  EXPECT_NE(Compile(SchemaSpec("true")), Compile(RegexSpec("true")));
}

TEST_F(ConstraintTest, MasksBeyondTheBudgetAreFoundAgain) {
  ConstraintCompiler small(std::make_shared<TokenVocabulary>(tokens_),
                           {.mask_bytes = 1, .constraint_nodes = 1});
  const auto constraint = small.Compile(Specs()[2]);
  ASSERT_TRUE(constraint.ok());
  EXPECT_NE(*small.Compile(Specs()[0]), nullptr);
  ConstraintState state(*constraint);
  std::string text;
  for (const char c : std::string(R"({"name":"a","value":1)")) {
    EXPECT_EQ(Left(state, tokens_.size()), ByForce(**constraint, text, tokens_));
    ASSERT_TRUE(state.Accept(c));
    text += c;
  }
}

TEST(ClassesTest, NodesThatNoTokenTellsApartHaveOneClass) {
  const auto classes = [](const std::string& schema, int bytes) {
    auto automaton = CompileAutomaton(SchemaSpec(schema));
    EXPECT_TRUE(automaton.ok());
    std::vector<uint64_t> all = automaton->Classes(bytes);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  };
  // Of the 500 places of the string only those near its end differ.
  const auto chain = classes(R"({"type":"string","maxLength":500})", 8);
  EXPECT_LT(chain.size(), 60u);
  EXPECT_GT(classes(R"({"type":"string","maxLength":500})", 600).size(), 400u);
  // Two schemas share what is alike.
  const auto a = classes(R"({"type":"object","properties":{"a":{"type":"string"}}})", 16);
  const auto b = classes(R"({"type":"array","items":{"type":"string"}})", 16);
  std::vector<uint64_t> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  EXPECT_GT(both.size(), 10u);
}

}  // namespace
}  // namespace crossover::llm
