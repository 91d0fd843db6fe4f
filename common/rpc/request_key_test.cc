#include "common/rpc/request_key.h"

#include <gmock/gmock.h>
#include <google/protobuf/duration.pb.h>
#include <gtest/gtest.h>

#include "common/json/digest.h"
#include "common/rpc/testing_proto/echo.pb.h"
#include "common/testing/matchers.h"

namespace crossover::rpc {
namespace {

constexpr char kId[] = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

TEST(RequestKeyOfTest, IsTheIdAndADigestOfTheRest) {
  rpc_test::KeyedRequest request;
  request.set_request_id(kId);
  request.set_display_name("x");
  (*request.mutable_labels())["b"] = "2";
  (*request.mutable_labels())["a"] = "1";
  ASSERT_OK_AND_ASSIGN(const RequestKey key, RequestKeyOf(request, FieldNames::kJson));
  EXPECT_EQ(key.id, kId);
  // Stored for good: a change of these forms would refuse repeats over an upgrade.
  EXPECT_EQ(key.payload, DigestOf(R"({"displayName":"x","labels":{"a":"1","b":"2"}})"));
  EXPECT_EQ(RequestKeyOf(request, FieldNames::kProto)->payload,
            DigestOf(R"({"display_name":"x","labels":{"a":"1","b":"2"}})"));
  request.clear_request_id();
  ASSERT_OK_AND_ASSIGN(const RequestKey without, RequestKeyOf(request, FieldNames::kJson));
  EXPECT_EQ(without.id, "");
  EXPECT_EQ(without.payload, key.payload);
}

TEST(RequestKeyOfTest, WhatIsNoIdAndARequestTypeWithoutTheFieldAreNamed) {
  rpc_test::KeyedRequest request;
  request.set_request_id("1");
  EXPECT_THAT(RequestKeyOf(request, FieldNames::kJson), HasReasonThat("FIELD_INVALID"));
  EXPECT_THAT(RequestKeyOf(google::protobuf::Duration(), FieldNames::kJson),
              StatusIs(absl::StatusCode::kInternal,
                       ::testing::HasSubstr("google.protobuf.Duration has no field request_id")));
}

}  // namespace
}  // namespace crossover::rpc
