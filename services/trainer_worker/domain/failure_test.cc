#include "services/trainer_worker/domain/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "common/status/error.h"
#include "services/trainer_worker/domain/file_error.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

TEST(FailureTest, AFullDiskIsTheMachinesFaultAndSaysWhatToDo) {
  const Failure failure = FailureOf(Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                                          "blob of 59 MB needs more than the 3 MB free on /data"));
  EXPECT_EQ(failure.error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(failure.reason, "DISK_FULL");
  EXPECT_THAT(failure.message, HasSubstr("59 MB"));
  EXPECT_THAT(failure.message, HasSubstr("free space"));
}

TEST(FailureTest, OnlyAFullDiskIsCalledOne) {
  EXPECT_EQ(FailureOf(FileError("write", "/data/x", ENOSPC)).reason, "DISK_FULL");
  EXPECT_EQ(FailureOf(FileError("write", "/data/x", EACCES)).reason, "FILE_UNUSABLE");
  EXPECT_EQ(FailureOf(FileError("write", "/data/x", EIO)).error_class, ErrorClass::kInfrastructure);
  EXPECT_THAT(FailureOf(FileError("write", "/data/x", EROFS)).message, HasSubstr("/data/x"));
}

TEST(FailureTest, TooLittleMemorySaysWhatToLower) {
  const Failure failure =
      FailureOf(Error(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "4 GB"));
  EXPECT_EQ(failure.error_class, ErrorClass::kInfrastructure);
  EXPECT_THAT(failure.message, HasSubstr("tokens_per_sequence"));
}

TEST(FailureTest, ALossThatIsNotFiniteIsNotTriedAgainAndKeepsItsRows) {
  const Failure failure = FailureOf(
      Error(absl::StatusCode::kAborted, "LOSS_NOT_FINITE", "step 7, rows sha256:1 and sha256:2"));
  EXPECT_EQ(failure.error_class, ErrorClass::kUser);
  EXPECT_THAT(failure.message, HasSubstr("sha256:2"));
  EXPECT_THAT(failure.message, HasSubstr("learning_rate"));
}

TEST(FailureTest, WrongRowsAreTheUsersAndUnknownErrorsOurs) {
  EXPECT_EQ(FailureOf(absl::InvalidArgumentError("row 3 is too long")).error_class,
            ErrorClass::kUser);
  EXPECT_EQ(FailureOf(absl::InternalError("?")).error_class, ErrorClass::kPlatform);
  EXPECT_EQ(FailureOf(absl::DataLossError("shard")).error_class, ErrorClass::kInfrastructure);
  EXPECT_EQ(FailureOf(absl::InternalError("?")).reason, "INTERNAL");
}

}  // namespace
}  // namespace crossover::worker
