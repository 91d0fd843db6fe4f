#include "common/blob/directory_blob_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "common/json/digest.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"

namespace crossover {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BlobStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobStore> Make(int64_t reserve = 0) {
    auto store = NewDirectoryBlobStore({.root = dir_ / "blobs", .reserve_bytes = reserve}, clock_);
    EXPECT_OK(store);
    return *std::move(store);
  }
  // Everything below a folder of the store that is a file.
  int FilesIn(std::string_view folder) {
    int count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_ / "blobs" / folder))
      count += entry.is_regular_file();
    return count;
  }

  testing::TempDir dir_;
  FakeClock clock_{SystemClock().Now()};  // file times are the kernel's
  std::unique_ptr<BlobStore> store_ = Make();
};

TEST_F(BlobStoreTest, BytesComeBackUnderTheirDigest) {
  ASSERT_OK_AND_ASSIGN(const std::string digest, store_->PutBytes("hello"));
  EXPECT_EQ(digest, DigestOf("hello"));
  EXPECT_THAT(store_->ReadAll(digest), IsOkAndHolds("hello"));
  EXPECT_THAT(store_->SizeOf(digest), IsOkAndHolds(5));
  EXPECT_THAT(store_->Exists(digest), IsOkAndHolds(true));
  ASSERT_OK_AND_ASSIGN(const fs::path path, store_->LocalPath(digest));
  EXPECT_EQ(testing::ReadFile(path), "hello");
}

TEST_F(BlobStoreTest, EqualBytesAreStoredOnceAndEmptyOnesToo) {
  EXPECT_OK(store_->PutBytes("same"));
  EXPECT_OK(store_->PutBytes("same"));
  EXPECT_EQ(FilesIn("sha256"), 1);
  EXPECT_THAT(store_->PutBytes(""), IsOkAndHolds(DigestOf("")));
  EXPECT_THAT(store_->ReadAll(DigestOf("")), IsOkAndHolds(""));
}

TEST_F(BlobStoreTest, WhatIsNotCommittedLeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(auto writer, store_->NewWriter());
    EXPECT_OK(writer->Write("half"));
  }
  EXPECT_EQ(FilesIn("tmp"), 0);
  EXPECT_EQ(FilesIn("sha256"), 0);
}

TEST_F(BlobStoreTest, UnknownAndWrongDigestsAreToldApart) {
  EXPECT_THAT(store_->ReadAll(DigestOf("never stored")), HasReasonThat("BLOB_NOT_FOUND"));
  EXPECT_THAT(store_->ReadAll("sha256:../../etc/passwd"), HasReasonThat("DIGEST_INVALID"));
  EXPECT_THAT(store_->Exists(DigestOf("never stored")), IsOkAndHolds(false));
}

TEST_F(BlobStoreTest, ADamagedBlobIsFoundWhenVerified) {
  ASSERT_OK_AND_ASSIGN(const std::string digest, store_->PutBytes("precious"));
  ASSERT_OK_AND_ASSIGN(const fs::path path, store_->LocalPath(digest));
  fs::permissions(path, fs::perms::owner_all);
  testing::WriteFile(path, "preciouS");
  EXPECT_THAT(store_->ReadAll(digest), HasReasonThat("BLOB_CORRUPT"));
  ASSERT_OK_AND_ASSIGN(auto reader, store_->Open(digest));
  EXPECT_THAT(reader->Read(100), IsOkAndHolds("preciouS"));
}

TEST_F(BlobStoreTest, LargeBlobsAreReadInPieces) {
  std::string bytes(3 << 20, 'x');
  for (size_t i = 0; i < bytes.size(); i += 7) bytes[i] = static_cast<char>(i);
  ASSERT_OK_AND_ASSIGN(const std::string digest, store_->PutBytes(bytes));
  EXPECT_THAT(store_->ReadAll(digest), IsOkAndHolds(bytes));
  EXPECT_THAT(store_->ReadAll(digest, 1000), HasReasonThat("BLOB_TOO_LARGE"));
}

TEST_F(BlobStoreTest, AFolderIsAnArtifactWhoseDigestDependsOnItsContentAlone) {
  testing::WriteFile(dir_ / "one/adapter_config.json", "{}");
  testing::WriteFile(dir_ / "one/sub/weights", "w");
  testing::WriteFile(dir_ / "two/sub/weights", "w");
  testing::WriteFile(dir_ / "two/adapter_config.json", "{}");
  ASSERT_OK_AND_ASSIGN(const std::string one, store_->PutFolder("adapter", dir_ / "one"));
  EXPECT_THAT(store_->PutFolder("adapter", dir_ / "two"), IsOkAndHolds(one));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_->ReadManifest(one));
  EXPECT_EQ(manifest.files.size(), 2u);
  ASSERT_OK_AND_ASSIGN(const fs::path weights, store_->LocalPathOf(one, "sub/weights"));
  EXPECT_EQ(testing::ReadFile(weights), "w");
  EXPECT_THAT(store_->LocalPathOf(one, "nothing"), HasReasonThat("BLOB_NOT_FOUND"));
}

TEST_F(BlobStoreTest, AnArtifactIsLaidOutWholeOrNotAtAll) {
  testing::WriteFile(dir_ / "one/a", "1");
  testing::WriteFile(dir_ / "one/sub/b", "2");
  ASSERT_OK_AND_ASSIGN(const std::string artifact, store_->PutFolder("adapter", dir_ / "one"));
  EXPECT_OK(store_->Materialise(artifact, dir_ / "out"));
  EXPECT_EQ(testing::ReadFile(dir_ / "out/sub/b"), "2");
  EXPECT_THAT(store_->Materialise(artifact, dir_ / "out"), HasReasonThat("FILE_EXISTS"));
  ASSERT_OK_AND_ASSIGN(const fs::path blob, store_->LocalPath(DigestOf("2")));
  fs::remove(blob);
  EXPECT_THAT(store_->Materialise(artifact, dir_ / "again"), HasReasonThat("BLOB_NOT_FOUND"));
  EXPECT_FALSE(fs::exists(dir_ / "again"));
}

TEST_F(BlobStoreTest, AnArtifactsLocalFolderIsMadeOnceAndFollowsTheStore) {
  testing::WriteFile(dir_ / "one/a", "1");
  testing::WriteFile(dir_ / "one/sub/b", "2");
  ASSERT_OK_AND_ASSIGN(const std::string artifact, store_->PutFolder("model", dir_ / "one"));
  ASSERT_OK_AND_ASSIGN(const fs::path folder, store_->LocalFolder(artifact));
  EXPECT_EQ(testing::ReadFile(folder / "a"), "1");
  EXPECT_EQ(testing::ReadFile(folder / "sub/b"), "2");
  EXPECT_THAT(store_->LocalFolder(artifact), IsOkAndHolds(folder));
  EXPECT_THAT(Make()->LocalFolder(artifact), IsOkAndHolds(folder));  // another process
  EXPECT_EQ(FilesIn("sha256"), 3);                                   // no second copy
  EXPECT_TRUE(fs::is_empty(dir_ / "blobs/tmp"));
  // Another one may see the root at another place.
  fs::rename(dir_ / "blobs", dir_ / "elsewhere");
  const fs::path moved = dir_ / "elsewhere/folders" / folder.filename();
  EXPECT_EQ(testing::ReadFile(moved / "sub/b"), "2");
  fs::rename(dir_ / "elsewhere", dir_ / "blobs");
  // A folder whose files are gone is no folder.
  ASSERT_OK_AND_ASSIGN(const fs::path blob, store_->LocalPath(DigestOf("2")));
  fs::remove(blob);
  EXPECT_THAT(store_->LocalFolder(artifact), HasReasonThat("BLOB_NOT_FOUND"));
}

TEST_F(BlobStoreTest, ALocalTreeIsAFolderOfAnArtifactAndAFileOfAnythingElse) {
  testing::WriteFile(dir_ / "one/a", "1");
  ASSERT_OK_AND_ASSIGN(const std::string artifact, store_->PutFolder("model", dir_ / "one"));
  ASSERT_OK_AND_ASSIGN(const fs::path folder, store_->LocalTree(artifact));
  EXPECT_TRUE(fs::is_directory(folder));
  for (const std::string text : {"GGUF…", "", "{", R"({"kind":"of JSON, and no manifest"})"}) {
    ASSERT_OK_AND_ASSIGN(const std::string digest, store_->PutBytes(text));
    ASSERT_OK_AND_ASSIGN(const fs::path file, store_->LocalTree(digest));
    EXPECT_EQ(testing::ReadFile(file), text);
  }
  EXPECT_THAT(store_->LocalTree(DigestOf("absent")), HasReasonThat("BLOB_NOT_FOUND"));
}

TEST_F(BlobStoreTest, ChosenFilesAreStoredThroughLinksAndOthersAreLeft) {
  testing::WriteFile(dir_ / "cache/0123", "{}");
  testing::WriteFile(dir_ / "snapshot/weights.bin", "a pickle");
  fs::create_symlink("../cache/0123", dir_ / "snapshot/config.json");
  testing::WriteFile(dir_ / "plain/config.json", "{}");
  ASSERT_OK_AND_ASSIGN(const std::string linked,
                       store_->PutFiles("model", dir_ / "snapshot", {"config.json"}));
  EXPECT_THAT(store_->PutFolder("model", dir_ / "plain"), IsOkAndHolds(linked));
  EXPECT_THAT(store_->PutFiles("model", dir_ / "snapshot", {"tokenizer.json"}),
              HasReasonThat("FILE_NOT_FOUND"));
}

TEST_F(BlobStoreTest, LinksAndMissingFilesAreRefused) {
  testing::WriteFile(dir_ / "one/a", "1");
  fs::create_symlink("/etc/passwd", dir_ / "one/link");
  EXPECT_THAT(store_->PutFolder("k", dir_ / "one"), HasReasonThat("FILE_UNUSABLE"));
  EXPECT_THAT(store_->PutFolder("k", dir_ / "missing"), HasReasonThat("FILE_NOT_FOUND"));
  EXPECT_THAT(store_->PutFile(dir_ / "missing"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr((dir_ / "missing").string())));
  EXPECT_THAT(store_->PutManifest({"k", {{"a", 1, DigestOf("not stored")}}}),
              HasReasonThat("BLOB_NOT_FOUND"));
}

TEST_F(BlobStoreTest, GarbageIsWhatNoPinReachesAndIsOldEnough) {
  testing::WriteFile(dir_ / "one/a", "pinned file");
  ASSERT_OK_AND_ASSIGN(const std::string artifact, store_->PutFolder("adapter", dir_ / "one"));
  ASSERT_OK_AND_ASSIGN(const std::string loose, store_->PutBytes("loose"));
  ASSERT_OK_AND_ASSIGN(const std::string root, store_->PutBytes("root"));
  EXPECT_OK(store_->Pin(artifact, "scheduler/job/1"));
  EXPECT_OK(store_->Pin(artifact, "scheduler/job/1"));
  EXPECT_OK(store_->Pin(artifact, "registry/model/2"));
  EXPECT_THAT(store_->CollectGarbage({root}, absl::Hours(1)), IsOkAndHolds(0));
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(store_->CollectGarbage({root}, absl::Hours(1)), IsOkAndHolds(5));
  EXPECT_THAT(store_->Exists(loose), IsOkAndHolds(false));
  EXPECT_THAT(store_->Exists(root), IsOkAndHolds(true));
  EXPECT_THAT(store_->Exists(DigestOf("pinned file")), IsOkAndHolds(true));
  EXPECT_OK(store_->Unpin(artifact, "scheduler/job/1"));
  EXPECT_THAT(store_->CollectGarbage({root}, absl::Hours(1)), IsOkAndHolds(0));
  ASSERT_OK_AND_ASSIGN(const fs::path folder, store_->LocalFolder(artifact));
  ASSERT_OK(store_->CollectGarbage({root}, absl::Hours(1)));
  EXPECT_TRUE(fs::exists(folder / "a"));
  EXPECT_OK(store_->Unpin(artifact, "registry/model/2"));
  ASSERT_OK(store_->CollectGarbage({root}, absl::Hours(1)));
  EXPECT_THAT(store_->Exists(DigestOf("pinned file")), IsOkAndHolds(false));
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder)));
  EXPECT_THAT(store_->Pin(artifact, "late"), HasReasonThat("BLOB_NOT_FOUND"));
}

TEST_F(BlobStoreTest, NoRoomIsSaidBeforeTheFirstByte) {
  auto store = Make(/*reserve=*/int64_t{1} << 60);
  const absl::Status status = store->PutBytes("x").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr(" available; free some space")));
  EXPECT_THAT(status, HasReasonThat("DISK_FULL"));
  EXPECT_TRUE(DetailOf(status).metadata.contains("needed_bytes"));
  EXPECT_EQ(FilesIn("tmp"), 0);
}

TEST_F(BlobStoreTest, ADiskThatFillsWhileWritingLeavesNoPartOfTheBlob) {
  // The file-size limit stands in for a full disk: write(2) fails in the middle of the blob.
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 100'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = store_->PutBytes(std::string(1 << 20, 'x')).status();
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_THAT(status, HasReasonThat("DISK_FULL"));
  // What had no room is named in bytes, not as "0 MiB".
  EXPECT_THAT(status.ToString(), HasSubstr(": 948576 bytes needed, "));
  EXPECT_EQ(FilesIn("tmp"), 0);
  EXPECT_EQ(FilesIn("sha256"), 0);
}

TEST_F(BlobStoreTest, AFolderThatCannotBeLaidOutSaysWhatToDo) {
  testing::WriteFile(dir_ / "one/a", "1");
  ASSERT_OK_AND_ASSIGN(const std::string artifact, store_->PutFolder("adapter", dir_ / "one"));
  testing::WriteFile(dir_ / "file", "x");
  EXPECT_THAT(store_->Materialise(artifact, dir_ / "file/out"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("check that")));
}

TEST_F(BlobStoreTest, ARootThatCannotBeMadeIsNamed) {
  testing::WriteFile(dir_ / "file", "x");
  const auto store = NewDirectoryBlobStore({.root = dir_ / "file/blobs"}, clock_);
  EXPECT_THAT(store.status().ToString(), HasSubstr((dir_ / "file/blobs").string()));
}

TEST_F(BlobStoreTest, AbandonedTemporaryFilesGoAfterADay) {
  testing::WriteFile(dir_ / "blobs/tmp/old", "x");
  clock_.Advance(absl::Hours(25));
  Make();
  EXPECT_EQ(FilesIn("tmp"), 0);
}

}  // namespace
}  // namespace crossover
