#include "services/registry/transport/document.h"

#include <gmock/gmock.h>
#include <google/protobuf/duration.pb.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::registry {
namespace {

TEST(RequestKeyOfTest, ARequestTypeWithoutTheFieldIsNamed) {
  EXPECT_THAT(RequestKeyOf(google::protobuf::Duration()),
              StatusIs(absl::StatusCode::kInternal,
                       ::testing::HasSubstr("google.protobuf.Duration has no field request_id")));
}

}  // namespace
}  // namespace crossover::registry
