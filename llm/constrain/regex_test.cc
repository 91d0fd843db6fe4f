// Regular expressions against PCRE2, which finds matches in quite another way.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "llm/constrain/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcre2.h>

#include <memory>
#include <random>

#include "common/status/error.h"
#include "llm/constrain/testing_constraint.h"

namespace crossover::llm::constrain {
namespace {

bool PcreMatches(const std::string& pattern, const std::string& text, bool whole) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t anchored = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | anchored, &code, &offset,
                    nullptr),
      &pcre2_code_free);
  EXPECT_NE(compiled, nullptr) << pattern << " at " << offset;
  if (compiled == nullptr) return false;
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(compiled.get(), nullptr), &pcre2_match_data_free);
  return pcre2_match(compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                     data.get(), nullptr) >= 0;
}

// Short texts over the characters that the patterns are about.
std::vector<std::string> Texts() {
  const std::vector<std::string> alphabet = {"a", "b", "c", "1", "-", " ", "\u00e9", "\U0001F600"};
  std::vector<std::string> texts = {""};
  for (size_t begin = 0, length = 1; length <= 3; ++length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const std::string& c : alphabet) texts.push_back(texts[begin] + c);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (size_t n = random() % 12; n > 0; --n) text += alphabet[random() % alphabet.size()];
    texts.push_back(text);
  }
  return texts;
}

const char* const kPatterns[] = {
    "a*b",    "(a|b)*c",  "^a.c$",    "a{2,3}",    "(ab?){2}",    "(a|b|)+1",
    "[a-c]+", "[^a]",     "[^\\w ]+", "\\d+-\\d*", "\\s",         "\\S{3}",
    "^$",     "^(a|b$)",  "a$|^b",    "(?:a|^)b",  "(?<x>a)?b+?", "\\u00e9|\\x61",
    "(a*)*",  "(a?){3}b", "",         ".",         "[\\w-]c",     "(a|bc|b)(c|cc)?$"};

TEST(RegexTest, AgreesWithPcre) {
  for (const std::string pattern : kPatterns) {
    const auto whole = CompileAutomaton(RegexSpec(pattern));
    const auto search = CompileRegex(pattern, RegexUse::kSearch);
    ASSERT_TRUE(search.ok()) << search.status();
    ASSERT_TRUE(whole.ok()) << pattern << ": " << whole.status();
    for (const std::string& text : Texts()) {
      ASSERT_EQ(Allows(*whole, text), PcreMatches(pattern, text, true)) << pattern << " " << text;
      ASSERT_EQ(search->Matches(text), PcreMatches(pattern, text, false)) << pattern << " " << text;
    }
  }
}

TEST(RegexTest, BeginningsAreThoseOfWholeTexts) {
  const auto automaton = CompileAutomaton(RegexSpec("(ab|ac[^x]{2})$"));
  ASSERT_TRUE(automaton.ok());
  for (const std::string& text : Texts()) {
    bool begins = false;
    for (const std::string& other : Texts())
      begins |= other.starts_with(text) && Allows(*automaton, other);
    TextReader reader(*automaton);
    // The list holds all texts of three characters; longer ones may go on beyond it.
    if (text.size() < 3) {
      EXPECT_EQ(reader.Read(text), begins || text == "ac") << text;
    }
  }
}

TEST(RegexTest, OnlyWholeCharactersAreWritten) {
  const auto automaton = CompileAutomaton(RegexSpec(".+"));
  ASSERT_TRUE(automaton.ok());
  EXPECT_TRUE(Allows(*automaton, "\u00e9\u20ac\U0001F600"));
  for (const std::string wrong : {"\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"})
    EXPECT_FALSE(Allows(*automaton, wrong));
  TextReader reader(*automaton);
  EXPECT_TRUE(reader.Read("\xf0\x9f"));
  EXPECT_FALSE(reader.whole());
}

TEST(RegexTest, WhatIsNotServedIsNamed) {
  const std::pair<const char*, const char*> cases[] = {{"a(?=b)", "lookaround"},
                                                       {"(?<!a)b", "lookaround"},
                                                       {"(a)\\1", "backreferences"},
                                                       {"\\bword", "\\b"},
                                                       {"\\p{L}", "\\p"},
                                                       {"a**", "nothing to repeat"},
                                                       {"(a", "not closed"},
                                                       {"a)", "closes nothing"},
                                                       {"[b-a]", "backwards"},
                                                       {"a{2,1}", "n over m"},
                                                       {"[a", "not closed"},
                                                       {"a{99999}", "over 10000"},
                                                       {"(a{1000}){1000}", "unfolds"},
                                                       {"\\ud800", "surrogate"}};
  for (const auto& [pattern, what] : cases) {
    const absl::Status status = CompileRegex(pattern, RegexUse::kWhole).status();
    EXPECT_TRUE(HasReason(status, "CONSTRAINT_INVALID")) << pattern;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(what)) << pattern;
  }
  EXPECT_THAT(std::string(CompileRegex("ab\\1", RegexUse::kWhole).status().message()),
              testing::HasSubstr("character 5"));
  EXPECT_FALSE(CompileRegex("(a|b)*a(a|b){30}", RegexUse::kWhole).ok());
  EXPECT_FALSE(CompileRegex("(a?){9000}", RegexUse::kWhole).ok());
  // Empty groups repeated again and again add nothing and take no time.
  EXPECT_TRUE(CompileRegex("(((){9999}){9999}){9999}", RegexUse::kWhole).ok());
}

TEST(RegexTest, NothingAllowedIsRefused) {
  const auto automaton = CompileAutomaton(RegexSpec("a[]b"));
  EXPECT_TRUE(HasReason(automaton.status(), "CONSTRAINT_INVALID"));
  EXPECT_THAT(std::string(automaton.status().message()), testing::HasSubstr("cannot be met"));
}

}  // namespace
}  // namespace crossover::llm::constrain
