#include "llm/formats/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>
#include <vector>

#include "common/status/error.h"
#include "llm/formats/testing_disk.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class AtomicFileTest : public ::testing::Test {
 protected:
  AtomicFileTest()
      : folder_(fs::path(::testing::TempDir()) /
                ("atomic_" + std::to_string(getpid()) +
                 std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~AtomicFileTest() override { fs::remove_all(folder_); }

  size_t Files() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  }

  fs::path folder_;
};

TEST_F(AtomicFileTest, NothingIsSeenBeforeCommit) {
  const fs::path path = folder_ / "a";
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("hello").ok());
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE((*file)->Commit().ok());
  EXPECT_EQ(ReadTextFile(path).value(), "hello");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(AtomicFileTest, AbandonedFileLeavesTheOldOneAndNoLitter) {
  const fs::path path = folder_ / "a";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  {
    auto file = AtomicFile::Create(path);
    ASSERT_TRUE((*file)->Append("half of the new").ok());
  }
  EXPECT_EQ(ReadTextFile(path).value(), "old");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(AtomicFileTest, FolderThatIsNotThereIsNamed) {
  const auto file = AtomicFile::Create(folder_ / "nope" / "a");
  EXPECT_TRUE(HasReason(file.status(), "FILE_UNREADABLE")) << file.status();
  EXPECT_THAT(std::string(file.status().message()), ::testing::HasSubstr("nope/a"));
}

TEST_F(AtomicFileTest, FullDiskIsNamedAsSuchAndTheOldFileStays) {
  const fs::path path = folder_ / "big";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  absl::Status written;
  {
    const FullDisk disk(4096);
    written = WriteFileAtomically(path, std::string(8192, 'x'));
  }
  EXPECT_EQ(written.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(HasReason(written, "DISK_FULL")) << written;
  EXPECT_EQ(DetailOf(written).metadata["needed_bytes"], "8192");
  EXPECT_THAT(
      std::string(written.message()),
      AllOf(HasSubstr(path.string()), HasSubstr("needs 8192 bytes"), HasSubstr("free some space")));
  EXPECT_EQ(ReadTextFile(path).value(), "old");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(AtomicFileTest, ModeFollowsTheProcessMaskWhateverOtherThreadsDo) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) {
        const fs::path path = folder_ / (std::to_string(i) + "-" + std::to_string(n));
        EXPECT_TRUE(WriteFileAtomically(path, "x").ok());
        // Made by other means, at the same time.
        std::ofstream(path.string() + ".plain") << "x";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(Files(), 400u);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_EQ(static_cast<mode_t>(entry.status().permissions()), 0666 & ~mask) << entry.path();
  }
}

TEST_F(AtomicFileTest, TwoWritersOfOneFileDoNotMeet) {
  const fs::path path = folder_ / "a";
  auto first = AtomicFile::Create(path);
  auto second = AtomicFile::Create(path);
  ASSERT_TRUE((*first)->Append("first").ok());
  ASSERT_TRUE((*second)->Append("second").ok());
  ASSERT_TRUE((*second)->Commit().ok());
  EXPECT_EQ(ReadTextFile(path).value(), "second");
  ASSERT_TRUE((*first)->Commit().ok());
  EXPECT_EQ(ReadTextFile(path).value(), "first");
}

TEST_F(AtomicFileTest, ReadingMissingAndOversizedFilesSaysSo) {
  EXPECT_TRUE(HasReason(ReadTextFile(folder_ / "none").status(), "FILE_MISSING"));
  ASSERT_TRUE(WriteFileAtomically(folder_ / "a", "12345").ok());
  EXPECT_TRUE(HasReason(ReadTextFile(folder_ / "a", 4).status(), "FILE_TOO_LARGE"));
}

}  // namespace
}  // namespace crossover::llm
