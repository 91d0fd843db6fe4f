#include "common/status/error.h"

#include <gtest/gtest.h>

namespace crossover {
namespace {

TEST(ErrorTest, CarriesReasonMetadataAndViolations) {
  const absl::Status status = Error(absl::StatusCode::kInvalidArgument, "row 536 is bad",
                                    {.reason = "ROW_INVALID",
                                     .metadata = {{"line", "536"}},
                                     .violations = {{"rows[536].messages", "must not be empty"}}});
  const ErrorDetail detail = DetailOf(status);
  EXPECT_EQ(detail.reason, "ROW_INVALID");
  EXPECT_EQ(detail.metadata.at("line"), "536");
  ASSERT_EQ(detail.violations.size(), 1u);
  EXPECT_EQ(detail.violations[0].field, "rows[536].messages");
}

TEST(ErrorTest, ContextKeepsCodeAndDetail) {
  const absl::Status inner = Error(absl::StatusCode::kAborted, "LEASE_LOST", "epoch 3 is over");
  const absl::Status outer = WithContext(inner, "job 17");
  EXPECT_EQ(outer.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(outer.message(), "job 17: epoch 3 is over");
  EXPECT_TRUE(HasReason(outer, "LEASE_LOST"));
}

TEST(ErrorTest, PlainStatusHasNoReason) {
  EXPECT_EQ(DetailOf(absl::NotFoundError("x")).reason, "");
}

TEST(ErrorTest, BytesThatAreNotUtf8DoNotBreakTheError) {
  const absl::Status status = Error(absl::StatusCode::kInvalidArgument, "bad",
                                    {.reason = "X", .violations = {{"f", "\xff\xfe"}}});
  EXPECT_EQ(DetailOf(status).reason, "X");
}

}  // namespace
}  // namespace crossover
