#include "common/id/request_id.h"

#include <gtest/gtest.h>

#include "common/status/error.h"
#include "common/testing/matchers.h"

namespace crossover {
namespace {

using ::testing::HasSubstr;

TEST(RequestIdTest, AUuidOfAnyVersionOrNone) {
  EXPECT_OK(CheckRequestId(""));
  EXPECT_OK(CheckRequestId("6ba7b810-9dad-41d1-80b4-00c04fd430c8"));
  EXPECT_OK(CheckRequestId("01890A5D-AC96-774B-BCCE-B302099A8057"));
}

TEST(RequestIdTest, WhatIsNoneIsNamedWithWhatWouldBe) {
  for (const std::string wrong : {"abc", "6ba7b8109dad41d180b400c04fd430c8",
                                  "6ba7b810-9dad-41d1-80b4-00c04fd430cg", "\x01"}) {
    const absl::Status status = CheckRequestId(wrong);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr("must be a UUID such as 01890a5d-")));
    EXPECT_THAT(status, HasReasonThat("FIELD_INVALID"));
    ASSERT_EQ(DetailOf(status).violations.size(), 1u);
    EXPECT_EQ(DetailOf(status).violations[0].field, "request_id");
  }
  EXPECT_THAT(CheckRequestId("abc"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("request_id is 'abc'")));
  EXPECT_LT(CheckRequestId(std::string(100'000, 'x')).message().size(), 400u);
}

TEST(RequestIdTest, OneThatIsUsedAgainForAnotherRequestSaysWhatToDo) {
  const absl::Status status = RequestIdReused("r-1");
  EXPECT_THAT(status, HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               "request_id r-1 was used before for another request; use a new one "
                               "for this request, or repeat the earlier request unchanged"));
  EXPECT_THAT(RequestIdReused("r-1", "job 06b").ToString(), HasSubstr(", which made job 06b; use"));
}

}  // namespace
}  // namespace crossover
