#include "services/data_curation/transport/convert.h"

#include <gmock/gmock.h>
#include <google/protobuf/duration.pb.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::curation {
namespace {

TEST(KeyOfTest, ARequestTypeWithoutTheFieldIsNamed) {
  EXPECT_THAT(KeyOf(google::protobuf::Duration()),
              StatusIs(absl::StatusCode::kInternal,
                       ::testing::HasSubstr("google.protobuf.Duration has no field request_id")));
}

}  // namespace
}  // namespace crossover::curation
