#include "services/data_curation/domain/seal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "services/data_curation/domain/report.h"
#include "services/data_curation/domain/testing.h"

namespace crossover::curation {
namespace {

class SealTest : public PipelineFixture {
 protected:
  PipelineResult RunOn(const std::string& text) {
    auto result = Run({File(text)}, DefaultRecipe().stages);
    EXPECT_OK(result);
    return *result;
  }
  absl::StatusOr<SealedRows> Seal(const PipelineResult& run, const Tombstones& tombstones = {}) {
    return SealRows(*RowsOf(run), StatesOf(run), tombstones, *blobs_, dir_ / "scratch");
  }
  static std::string Rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += JsonRow(absl::StrCat("r", i * 7919, " é", i * 104729), absl::StrCat("a", i % 3),
                      {{"group", {{"user", absl::StrCat("u", i)}}}});
    }
    return text;
  }
};

TEST_F(SealTest, EqualRowsGiveEqualDigestsWhateverTheirOrder) {
  const std::string text = Rows(40);
  const auto first = Seal(RunOn(text));
  ASSERT_OK(first);
  const auto again = Seal(RunOn(text));
  ASSERT_OK(again);
  EXPECT_EQ(first->merkle_root, again->merkle_root);
  EXPECT_EQ(first->artifact_digest, again->artifact_digest);
}

TEST_F(SealTest, TheShardsHoldTheKeptRowsAndTheirPlaces) {
  const auto sealed = Seal(RunOn(Rows(40) + JsonRow("r0 é0", "a0")));
  ASSERT_OK(sealed);
  ASSERT_EQ(sealed->rows.size(), 40u);
  ASSERT_OK(blobs_->Materialise(sealed->artifact_digest, dir_ / "out"));
  EXPECT_OK(dataset::VerifyShards(dir_ / "out"));
  const auto rows = dataset::ReadRows(dir_ / "out", "");
  ASSERT_OK(rows);
  for (size_t i = 0; i < rows->size(); ++i) {
    EXPECT_EQ(*dataset::RowDigest((*rows)[i]), sealed->rows[i].row_digest);
    EXPECT_EQ((*rows)[i].split, sealed->rows[i].split);
  }
  int64_t count = 0;
  for (const SplitCounts& split : sealed->counts) count += split.rows;
  EXPECT_EQ(count, 40);
  EXPECT_EQ(sealed->counts[0].split, "train");
}

TEST_F(SealTest, ForgottenRowsAndSubjectsStayOut) {
  const PipelineResult run = RunOn(Rows(40));
  const auto all = Seal(run);
  ASSERT_OK(all);
  Tombstones tombstones;
  tombstones.row_digests.insert(all->rows[3].row_digest);
  tombstones.subjects.insert("u7");
  const auto sealed = Seal(run, tombstones);
  ASSERT_OK(sealed);
  EXPECT_EQ(sealed->rows.size(), 38u);
  EXPECT_EQ(sealed->tombstones_applied, 2);
  EXPECT_NE(sealed->merkle_root, all->merkle_root);
}

TEST_F(SealTest, TheVersionDigestCoversRowsRecipeSourcesAndLicence) {
  const std::vector<Source> sources = {{"b", "sha256:2", ""}, {"a", "sha256:1", ""}};
  const std::vector<Source> reversed = {sources[1], sources[0]};
  const std::string digest = *VersionDigest("root", "recipe", sources, "MIT");
  EXPECT_EQ(*VersionDigest("root", "recipe", reversed, "MIT"), digest);
  EXPECT_NE(*VersionDigest("root2", "recipe", sources, "MIT"), digest);
  EXPECT_NE(*VersionDigest("root", "recipe2", sources, "MIT"), digest);
  EXPECT_NE(*VersionDigest("root", "recipe", {sources[0]}, "MIT"), digest);
  EXPECT_NE(*VersionDigest("root", "recipe", sources, "CC-BY-4.0"), digest);
}

TEST_F(SealTest, TheReportTellsWhatHappenedAndSurvivesJson) {
  const PipelineResult run =
      RunOn(Rows(40) + JsonRow("r0 é0", "a0") + JsonRow("c", "x") + JsonRow("c", "y"));
  const auto sealed = Seal(run);
  ASSERT_OK(sealed);
  const auto report = BuildReport(*RowsOf(run), StatesOf(run), run.funnel, sealed->counts);
  ASSERT_OK(report);
  const auto back = ReportFromJson(ReportToJson(*report));
  ASSERT_OK(back);
  EXPECT_EQ(ReportToJson(*back), ReportToJson(*report));
  std::map<std::string, int64_t> findings;
  for (const Finding& finding : back->findings)
    findings[finding.stage + "/" + finding.code] = finding.rows;
  EXPECT_EQ(findings["exact_duplicates/duplicate"], 1);
  EXPECT_EQ(findings["label_conflicts/label_conflict"], 2);
  EXPECT_EQ(findings.count("split/few_rows"), 1u);
  int64_t labelled = 0;
  for (const LabelCount& label : back->label_counts) {
    for (const auto& [split, rows] : label.rows) labelled += rows;
  }
  EXPECT_EQ(labelled, 40);
}

}  // namespace
}  // namespace crossover::curation
