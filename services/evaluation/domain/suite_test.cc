#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"
#include "services/evaluation/domain/fake_store.h"
#include "services/evaluation/domain/suites.h"
#include "services/evaluation/domain/test_data.h"

namespace crossover::evaluation {
namespace {

dataset::Row SealedRow(int i, const std::string& split) {
  dataset::Row row;
  row.messages = {{.role = "user", .content = "input " + std::to_string(i)},
                  {.role = "assistant",
                   .content = "{\"section\":\"" + std::string(i % 2 ? "net" : "web") + "\"}"}};
  row.split = split;
  row.cluster = "c" + std::to_string(i / 2);
  row.group.source = "s" + std::to_string(i / 4);
  return row;
}

std::vector<dataset::Row> Sealed() {
  std::vector<dataset::Row> rows;
  for (int i = 0; i < 40; ++i) rows.push_back(SealedRow(i, i < 24 ? "test" : "train"));
  return rows;
}

class SuiteTest : public ::testing::Test {
 protected:
  Suites::FreezeRequest FromDataset(int64_t max_rows = 0, int64_t seed = 1) {
    Suite suite = TestSuite(SuiteRole::kTest);
    suite.dataset = {.dataset_version = "projects/default/datasets/d/versions/v",
                     .split = "test",
                     .max_rows = max_rows,
                     .seed = seed};
    suite.slices = {{.name = "net", .filter = "fields.section = net"}};
    return {.suite = suite};
  }
  FakeClock clock_;
  FakeStore store_{clock_};
  FakeRows rows_{Sealed()};
  Suites suites_{store_, rows_, clock_};
};

TEST_F(SuiteTest, FreezesASplitWithoutItsAnswers) {
  auto suite = suites_.Freeze(FromDataset());
  ASSERT_OK(suite);
  EXPECT_EQ(suite->row_count, 24);
  EXPECT_EQ(suite->cluster_count, 12);
  auto rows = suites_.Rows(*suite);
  ASSERT_OK(rows);
  EXPECT_EQ((*rows)[0].messages, R"([{"content":"input 0","role":"user"}])");
  EXPECT_EQ((*rows)[0].expected, R"({"section":"web"})");
  EXPECT_EQ((*rows)[0].attributes.at("fields.section"), "web");
  EXPECT_TRUE(SlicesOf(suite->slices, (*rows)[0]).empty());
  EXPECT_EQ(SlicesOf(suite->slices, (*rows)[1]), std::vector<std::string>{"net"});
}

TEST_F(SuiteTest, EqualContentIsTheSameVersion) {
  auto first = suites_.Freeze(FromDataset(10));
  auto again = suites_.Freeze(FromDataset(10));
  auto other_draw = suites_.Freeze(FromDataset(10, 2));
  ASSERT_OK(first);
  EXPECT_EQ(first->name, again->name);
  EXPECT_EQ(first->row_count, 10);
  EXPECT_NE(first->digest, other_draw->digest);
}

TEST_F(SuiteTest, ClusterByChoosesWhatBelongsTogether) {
  auto request = FromDataset();
  request.suite.cluster_by = "group.source";
  EXPECT_EQ(suites_.Freeze(request)->cluster_count, 6);
  request.suite.cluster_by = "moon";
  EXPECT_THAT(suites_.Freeze(request), HasReasonThat("FIELD_INVALID"));
}

TEST_F(SuiteTest, RefusesWhatCannotMeasure) {
  auto request = FromDataset();
  request.suite.dataset.split = "validation";
  EXPECT_THAT(suites_.Freeze(request), HasReasonThat("TOO_FEW_ROWS"));
  request = FromDataset();
  request.suite.graders.clear();
  EXPECT_THAT(suites_.Freeze(request), HasReasonThat("GRADER_INVALID"));
  request = FromDataset();
  request.suite.graders.push_back(request.suite.graders[0]);
  EXPECT_THAT(suites_.Freeze(request), HasReasonThat("GRADER_INVALID"));
  request = FromDataset();
  request.suite.slices = {{.name = "x", .filter = "section ="}};
  EXPECT_THAT(suites_.Freeze(request), HasReasonThat("FILTER_INVALID"));
}

TEST_F(SuiteTest, SaysWhatDifferencesItsRowsCanShow) {
  auto suite = suites_.Freeze(FromDataset());
  EXPECT_GT(suite->power.detectable_difference, 0.25);
  EXPECT_EQ(suite->power.rows_needed.at("0.03"), 1736);
}

TEST_F(SuiteTest, JudgesRowsItHas) {
  auto suite = suites_.Freeze({.suite = TestSuite(), .inline_rows = TestRows(3)});
  ASSERT_OK(suite);
  std::string row = (*suites_.Rows(*suite))[0].row_digest;
  ASSERT_OK(
      suites_.Judge(suite->name, {.row_digest = row, .annotator = "ana", .verdict = "PARTIAL"}));
  ASSERT_OK(
      suites_.Judge(suite->name, {.row_digest = row, .annotator = "ana", .verdict = "WRONG"}));
  auto judgements = suites_.Judgements(*suite);
  ASSERT_EQ(judgements->size(), 1u);
  EXPECT_EQ((*judgements)[0].verdict, "WRONG");
  EXPECT_THAT(suites_.Judge(suite->name, {.row_digest = "sha256:0", .annotator = "ana"}),
              HasReasonThat("RESOURCE_NOT_FOUND"));
}

}  // namespace
}  // namespace crossover::evaluation
