#include "llm/formats/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include "common/status/error.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

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

TEST_F(AtomicFileTest, FullDiskIsNamedAsSuch) {
  // /dev/full cannot be renamed over, so the limit on file size stands for the full disk: the write
  // fails part-way.
  const auto file = AtomicFile::Create("/proc/nope/a");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kFailedPrecondition);
  const rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  const absl::Status written = WriteFileAtomically(folder_ / "big", std::string(8192, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_FALSE(written.ok());
  EXPECT_THAT(std::string(written.message()), ::testing::HasSubstr("big"));
  EXPECT_EQ(Files(), 0u);
}

TEST_F(AtomicFileTest, ReadingMissingAndOversizedFilesSaysSo) {
  EXPECT_TRUE(HasReason(ReadTextFile(folder_ / "none").status(), "FILE_MISSING"));
  ASSERT_TRUE(WriteFileAtomically(folder_ / "a", "12345").ok());
  EXPECT_TRUE(HasReason(ReadTextFile(folder_ / "a", 4).status(), "FILE_TOO_LARGE"));
}

}  // namespace
}  // namespace crossover::llm
