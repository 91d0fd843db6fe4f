#include "common/rpc/error_mapper.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

TEST(ErrorMapperTest, CarriesReasonMetadataAndViolationsThereAndBack) {
  const absl::Status status = Error(absl::StatusCode::kInvalidArgument, "row 536 is bad",
                                    {.reason = "ROW_INVALID",
                                     .metadata = {{"line", "536"}},
                                     .violations = {{"rows[536].messages", "must not be empty"}}});
  const grpc::Status wire = ToGrpc(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const absl::Status back = FromGrpc(wire);
  EXPECT_EQ(back.code(), status.code());
  EXPECT_EQ(back.message(), status.message());
  const ErrorDetail detail = DetailOf(back);
  EXPECT_EQ(detail.reason, "ROW_INVALID");
  EXPECT_EQ(detail.metadata.at("line"), "536");
  ASSERT_EQ(detail.violations.size(), 1u);
  EXPECT_EQ(detail.violations[0].field, "rows[536].messages");
}

TEST(ErrorMapperTest, EveryErrorHasErrorInfoOfOurDomain) {
  const grpc::Status wire = ToGrpc(absl::NotFoundError("no such job"));
  google::rpc::Status rich;
  ASSERT_TRUE(rich.ParseFromString(wire.error_details()));
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(rich.details_size() > 0 && rich.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "NOT_FOUND");
  EXPECT_EQ(info.domain(), "crossover.dev");
}

TEST(ErrorMapperTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(ErrorMapperTest, HugeErrorsAreCutToFitTheHeaders) {
  ErrorDetail detail{.reason = "ROW_INVALID"};
  for (int i = 0; i < 10'000; ++i)
    detail.violations.push_back({"rows[" + std::to_string(i) + "]", "is bad"});
  const grpc::Status wire =
      ToGrpc(Error(absl::StatusCode::kInvalidArgument, std::string(100'000, 'x'), detail));
  EXPECT_LT(wire.error_message().size() + wire.error_details().size(), 14'000u);
  EXPECT_EQ(DetailOf(FromGrpc(wire)).reason, "ROW_INVALID");
  EXPECT_GT(DetailOf(FromGrpc(wire)).violations.size(), 50u);
}

TEST(ErrorMapperTest, ForeignOrBrokenDetailsAreNoObstacle) {
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "oops", "\xff\xff garbage"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, "oops"));
}

}  // namespace
}  // namespace crossover::rpc
