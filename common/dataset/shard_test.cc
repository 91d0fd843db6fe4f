#include "common/dataset/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/status/error.h"

namespace crossover::dataset {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ShardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        fs::temp_directory_path() / absl::StrCat("crossover_shard_", getpid(), "_", info->name());
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // `count` rows in digest order; every third is a test row.
  static std::vector<std::pair<std::string, Row>> Rows(int count) {
    std::vector<std::pair<std::string, Row>> rows;
    for (int i = 0; i < count; ++i) {
      Row row;
      row.messages = {{.role = "user", .content = absl::StrCat("question ", i)},
                      {.role = "assistant", .content = absl::StrCat("answer ", i)}};
      row.split = i % 3 == 0 ? kTest : kTrain;
      rows.emplace_back(*RowDigest(row), row);
    }
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    return rows;
  }

  ShardIndex Write(const std::vector<std::pair<std::string, Row>>& rows, int64_t shard_bytes) {
    auto writer = ShardWriter::Create(folder_, shard_bytes);
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (const auto& [digest, row] : rows) EXPECT_TRUE((*writer)->Add(row, digest).ok());
    auto index = (*writer)->Finish();
    EXPECT_TRUE(index.ok()) << index.status();
    return *index;
  }

  fs::path folder_;
};

TEST_F(ShardTest, ReadsBackWhatWasWrittenAcrossShards) {
  const auto rows = Rows(300);
  const ShardIndex index = Write(rows, 4096);
  EXPECT_GT(index.shards.size(), 5u);
  EXPECT_EQ(index.rows, 300);
  EXPECT_EQ(index.splits.at("test"), 100);
  const auto back = ReadRows(folder_, "");
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ((*back)[i], rows[i].second);
  EXPECT_TRUE(VerifyShards(folder_).ok());
}

TEST_F(ShardTest, FiltersBySplit) {
  Write(Rows(30), ShardWriter::kShardBytes);
  const auto rows = ReadRows(folder_, "test");
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), 10u);
}

TEST_F(ShardTest, RootDoesNotDependOnTheSizeOfShards) {
  const std::string small = Write(Rows(50), 1000).merkle_root;
  fs::remove_all(folder_);
  EXPECT_EQ(Write(Rows(50), 1 << 20).merkle_root, small);
}

TEST_F(ShardTest, RefusesRowsOutOfOrder) {
  const auto rows = Rows(2);
  auto writer = ShardWriter::Create(folder_);
  ASSERT_TRUE((*writer)->Add(rows[1].second, rows[1].first).ok());
  EXPECT_TRUE(HasReason((*writer)->Add(rows[0].second, rows[0].first).status(), "SHARD_ORDER"));
}

TEST_F(ShardTest, NamesTheShardThatWasCut) {
  Write(Rows(500), ShardWriter::kShardBytes);
  const fs::path shard = folder_ / "rows-00000.jsonl.zst";
  fs::resize_file(shard, fs::file_size(shard) / 2);
  const auto rows = ReadRows(folder_, "");
  EXPECT_TRUE(HasReason(rows.status(), "DIGEST_MISMATCH"));
  EXPECT_THAT(std::string(rows.status().message()), HasSubstr("rows-00000.jsonl.zst"));
}

TEST_F(ShardTest, NoticesAFlippedByte) {
  Write(Rows(500), ShardWriter::kShardBytes);
  std::fstream file(folder_ / "rows-00000.jsonl.zst",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(400);
  const int byte = file.get();
  file.seekp(400);
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  EXPECT_FALSE(VerifyShards(folder_).ok());
}

TEST_F(ShardTest, AFolderWithoutIndexIsNotADataSet) {
  fs::create_directories(folder_);
  EXPECT_TRUE(HasReason(ShardReader::Open(folder_, {}).status(), "BLOB_NOT_FOUND"));
}

TEST_F(ShardTest, AnEmptyVersionHasTheEmptyRoot) {
  EXPECT_EQ(Write({}, 1000).merkle_root,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(ReadRows(folder_, "")->empty());
}

// /dev/full answers every write with "no space left on device".
TEST_F(ShardTest, AFullDiskIsReportedAsSuch) {
  fs::create_directories(folder_);
  fs::create_directories(folder_ / "out");
  auto writer = ShardWriter::Create(folder_ / "out");
  ASSERT_TRUE(writer.ok());
  fs::create_symlink("/dev/full", folder_ / "out" / "dataset.json");
  const auto index = (*writer)->Finish();
  EXPECT_TRUE(HasReason(index.status(), "DISK_FULL")) << index.status();
}

}  // namespace
}  // namespace crossover::dataset
