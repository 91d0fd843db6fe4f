// What the collection of garbage does to the folders that LocalFolder makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>

#include "common/blob/directory_blob_store.h"
#include "common/json/digest.h"
#include "common/status/status_macros.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"

namespace crossover {
namespace {

namespace fs = std::filesystem;

class FolderGarbageTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> PutModel() {
    RETURN_IF_ERROR(blobs_->PutBytes("weights").status());
    return blobs_->PutManifest({.kind = "model", .files = {{"a", 7, DigestOf("weights")}}});
  }

  crossover::testing::TempDir dir_;
  FakeClock clock_{SystemClock().Now()};  // file times are the kernel's
  std::unique_ptr<BlobStore> blobs_ =
      *NewDirectoryBlobStore({.root = dir_ / "blobs", .reserve_bytes = 0, .sync = false}, clock_);
};

TEST_F(FolderGarbageTest, AFolderStaysAsLongAsAYoungBlobDoes) {
  ASSERT_OK_AND_ASSIGN(const std::string artifact, PutModel());
  ASSERT_OK_AND_ASSIGN(const fs::path folder, blobs_->LocalFolder(artifact));
  ASSERT_OK(blobs_->CollectGarbage({}, absl::Hours(1)).status());
  EXPECT_TRUE(fs::exists(folder / "a"));
  clock_.Advance(absl::Hours(2));
  ASSERT_OK(blobs_->CollectGarbage({}, absl::Hours(1)).status());
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder)));
  EXPECT_THAT(blobs_->Exists(artifact), IsOkAndHolds(false));
}

TEST_F(FolderGarbageTest, AYoungFolderKeepsTheOlderBlobsItLinksTo) {
  ASSERT_OK_AND_ASSIGN(const std::string artifact, PutModel());
  // The kernel's clock cannot be put forward: the blobs age while it runs, the folder comes later.
  const absl::Duration min_age = absl::Milliseconds(200);
  SystemClock().SleepFor(absl::Milliseconds(400));
  ASSERT_OK_AND_ASSIGN(const fs::path folder, blobs_->LocalFolder(artifact));
  struct stat made{};
  ASSERT_EQ(::stat(folder.c_str(), &made), 0);
  clock_.Advance(absl::TimeFromTimespec(made.st_ctim) - clock_.Now());
  ASSERT_OK(blobs_->CollectGarbage({}, min_age).status());
  EXPECT_TRUE(fs::exists(folder / "a"));
  clock_.Advance(absl::Hours(1));
  ASSERT_OK(blobs_->CollectGarbage({}, min_age).status());
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder)));
}

}  // namespace
}  // namespace crossover
