// EXPECT_OK(status); EXPECT_THAT(result, IsOkAndHolds(3)); EXPECT_THAT(status,
// StatusIs(absl::StatusCode::kAborted, HasSubstr("…"))); EXPECT_THAT(status,
// HasReasonThat("LEASE_LOST")).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::testing {

// NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): lives as long as the matched
// expression.
inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << StatusOf(arg);
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has the code") {
  *result_listener << StatusOf(arg);
  return StatusOf(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message, "has the code and a message that matches") {
  *result_listener << StatusOf(arg);
  return StatusOf(arg).code() == code &&
         ::testing::Matches(message)(std::string(ToStd(StatusOf(arg).message())));
}

MATCHER_P(HasReasonThat, reason, "has the reason " + std::string(reason)) {
  *result_listener << StatusOf(arg) << " with reason '" << DetailOf(StatusOf(arg)).reason << "'";
  return DetailOf(StatusOf(arg)).reason == reason;
}

MATCHER_P(IsOkAndHolds, inner, "is OK and holds a value that matches") {
  if (!arg.ok()) {
    *result_listener << arg.status();
    return false;
  }
  return ::testing::ExplainMatchResult(inner, *arg, result_listener);
}

#define EXPECT_OK(expression) EXPECT_THAT(expression, ::crossover::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT(expression, ::crossover::testing::IsOk())
// ASSERT_OK_AND_ASSIGN(Lease lease, store.Claim(…));
#define ASSERT_OK_AND_ASSIGN(lhs, expression) \
  CROSSOVER_TEST_ASSIGN(CROSSOVER_TEST_CONCAT(crossover_result_, __LINE__), lhs, expression)
#define CROSSOVER_TEST_CONCAT_INNER(a, b) a##b
#define CROSSOVER_TEST_CONCAT(a, b) CROSSOVER_TEST_CONCAT_INNER(a, b)
#define CROSSOVER_TEST_ASSIGN(result, lhs, expression) \
  auto result = (expression);                          \
  ASSERT_TRUE(result.ok()) << result.status();         \
  lhs = *std::move(result)

}  // namespace crossover::testing

namespace crossover {
using testing::HasReasonThat;
using testing::IsOk;
using testing::IsOkAndHolds;
using testing::StatusIs;
}  // namespace crossover
