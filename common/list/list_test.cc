#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/list/filter.h"
#include "common/list/page.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"

namespace crossover::list {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PageTest, TokensGiveTheirPositionToTheSameQueryOnly) {
  const std::string token = MakePageToken("a/b\n7", "parent|filter");
  EXPECT_EQ(*ParsePageToken(token, "parent|filter"), "a/b\n7");
  EXPECT_TRUE(HasReason(ParsePageToken(token, "parent|other").status(), "PAGE_TOKEN_INVALID"));
  EXPECT_TRUE(HasReason(ParsePageToken("%%%", "q").status(), "PAGE_TOKEN_INVALID"));
  EXPECT_EQ(*ParsePageToken("", "q"), "");
}

TEST(PageTest, SizesAreCoerced) {
  EXPECT_EQ(*PageSize(0), 50);
  EXPECT_EQ(*PageSize(7), 7);
  EXPECT_EQ(*PageSize(5000), 1000);
  EXPECT_TRUE(HasReason(PageSize(-1).status(), "FIELD_INVALID"));
}

TEST(FilterTest, ReadsComparisons) {
  const auto filter = ParseFilter(R"(state = READY AND labels.team != "a \"b\"" AND rows>=10)",
                                  {"state", "labels.*", "rows"});
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_THAT(*filter, ElementsAre(Condition{"state", Condition::Op::kEqual, "READY"},
                                   Condition{"labels.team", Condition::Op::kNotEqual, "a \"b\""},
                                   Condition{"rows", Condition::Op::kGreaterOrEqual, "10"}));
}

TEST(FilterTest, NamesThePositionOfAMistake) {
  const auto unknown = ParseFilter("state = A AND colour = red", {"state"});
  EXPECT_TRUE(HasReason(unknown.status(), "FILTER_INVALID"));
  EXPECT_THAT(std::string(unknown.status().message()),
              HasSubstr("`colour` cannot be filtered by; fields: state"));
  EXPECT_FALSE(ParseFilter("state", {"state"}).ok());
  EXPECT_FALSE(ParseFilter("state = A OR state = B", {"state"}).ok());
  EXPECT_FALSE(ParseFilter("state = \"A", {"state"}).ok());
}

TEST(FilterTest, ComparesNumbersAsNumbers) {
  const auto filter = ParseFilter("rows > 9 AND note : *", {"rows", "note"});
  const auto with = [](const std::string& rows, std::optional<std::string> note) {
    return [rows, note](const std::string& field) {
      return field == "rows" ? std::optional(rows) : note;
    };
  };
  EXPECT_TRUE(Matches(*filter, with("10", "x")));
  EXPECT_FALSE(Matches(*filter, with("9", "x")));
  EXPECT_FALSE(Matches(*filter, with("10", std::nullopt)));
}

TEST(FilterTest, AFieldThatIsToEqualTwoValuesIsAContradiction) {
  const auto contradicts = [](const char* text) {
    return IsContradiction(*ParseFilter(text, {"state", "labels.*"}));
  };
  EXPECT_TRUE(contradicts("state = A AND labels.x = A AND state = B"));
  EXPECT_FALSE(contradicts("state = A AND state = A AND labels.x = B"));
  EXPECT_FALSE(contradicts("state = A AND state != B"));
  EXPECT_FALSE(contradicts(""));
}

TEST(ResourceNameTest, GivesTheVariableSegments) {
  EXPECT_THAT(*ParseName("projects/p/datasets/d", "projects/*/datasets/*"), ElementsAre("p", "d"));
  EXPECT_TRUE(HasReason(ParseName("", "projects/*").status(), "FIELD_REQUIRED"));
  EXPECT_TRUE(HasReason(ParseName("projects//datasets/d", "projects/*/datasets/*").status(),
                        "FIELD_INVALID"));
  EXPECT_TRUE(
      HasReason(ParseName("projects/p", "projects/*/datasets/*").status(), "FIELD_INVALID"));
}

TEST(ResourceNameTest, SlugsAreWhatPeopleMayType) {
  EXPECT_TRUE(CheckSlug("a", "id").ok());
  EXPECT_TRUE(CheckSlug("debian-packages-2", "id").ok());
  for (const char* bad : {"", "A", "9a", "a-", "a_b", "über"})
    EXPECT_FALSE(CheckSlug(bad, "id").ok()) << bad;
  EXPECT_FALSE(CheckSlug(std::string(64, 'a'), "id").ok());
}

}  // namespace
}  // namespace crossover::list
