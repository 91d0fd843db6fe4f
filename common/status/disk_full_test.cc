#include "common/status/disk_full.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace crossover {
namespace {

TEST(DiskFullTest, AQuotaThatIsUsedUpIsAFullDisk) {
  EXPECT_TRUE(IsDiskFull(ENOSPC));
  EXPECT_TRUE(IsDiskFull(EDQUOT));
}

TEST(DiskFullTest, NoOtherErrorIs) {
  for (const int error : {0, EFBIG, EIO, EACCES, EROFS, ENOENT}) EXPECT_FALSE(IsDiskFull(error));
}

}  // namespace
}  // namespace crossover
