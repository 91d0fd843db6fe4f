#include "cli/output/table.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cli/output/width.h"

namespace crossover::cli {
namespace {

class TableTest : public ::testing::Test {
 protected:
  std::ostringstream stream_;
  Terminal pipe_{.out = stream_, .err = stream_};
  Terminal narrow_{.out = stream_, .err = stream_, .out_is_terminal = true, .width = 30};
  Terminal colored_{
      .out = stream_, .err = stream_, .out_is_terminal = true, .color = true, .width = 80};
};

TEST_F(TableTest, ColumnsAreAlignedAndLinesEndWithoutBlanks) {
  Table table({{"JOB"}, {"STEP", Align::kRight}, {"WHY"}});
  table.AddRow({"06bq3", "5/250", ""});
  table.AddRow({"7", "100/250", "no worker"});
  EXPECT_EQ(table.Render(pipe_),
            "JOB       STEP  WHY\n"
            "06bq3    5/250\n"
            "7      100/250  no worker\n");
}

TEST_F(TableTest, APipeGetsEveryCharacterAndATerminalWhatFits) {
  Table table({{"NAME"}, {"MESSAGE", Align::kLeft, true}});
  table.AddRow({"a-long-name", "a message that is longer than the terminal is wide"});
  EXPECT_NE(table.Render(pipe_).find("terminal is wide"), std::string::npos);
  EXPECT_EQ(table.Render(narrow_),
            std::string("NAME         MESSAGE\n") + "a-long-name  a message that i…\n");
}

TEST_F(TableTest, WideCharactersTakeTwoColumns) {
  Table table({{"A"}, {"B"}});
  table.AddRow({"日本", "x"});
  table.AddRow({"abcd", "y"});
  EXPECT_EQ(table.Render(pipe_), "A     B\n日本  x\nabcd  y\n");
}

TEST_F(TableTest, ColorsDoNotShiftColumns) {
  Table table({{"STATE"}, {"B"}});
  table.AddRow({Styled(colored_, Style::kGood, "met"), "x"});
  EXPECT_EQ(table.Render(colored_), "\x1b[1mSTATE  B\x1b[0m\n\x1b[32mmet\x1b[0m    x\n");
}

TEST_F(TableTest, ATableWithoutRowsIsNothing) { EXPECT_EQ(Table({{"A"}}).Render(pipe_), ""); }

TEST_F(TableTest, DetailsLeaveOutWhatIsEmptyAndIndentFurtherLines) {
  Details details;
  details.Add("job", "06bq3");
  details.Add("error", "");
  details.Add("log tail", "one\ntwo");
  EXPECT_EQ(details.Render(pipe_), "job       06bq3\nlog tail  one\n          two\n");
}

TEST(WidthTest, TruncationKeepsCharactersWholeAndColorsClosed) {
  EXPECT_EQ(Truncated("abcdef", 6), "abcdef");
  EXPECT_EQ(Truncated("abcdef", 4), "abc…");
  EXPECT_EQ(Truncated("日本語", 4), "日…");
  EXPECT_EQ(Truncated("\x1b[31mabcdef\x1b[0m", 4), "\x1b[31mabc…\x1b[0m");
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
}

}  // namespace
}  // namespace crossover::cli
