#include "services/trainer_worker/domain/gang_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/testing/matchers.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

std::string Refusal(int max_gang, const std::string& address) {
  const absl::Status status = CheckGangOptions(max_gang, address);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(GangAddressTest, HostAndPortAreTakenApart) {
  ASSERT_OK_AND_ASSIGN(const GangAddress v4, ParseGangAddress("gang-address", "192.0.2.7:7090"));
  EXPECT_EQ(v4.host, "192.0.2.7");
  EXPECT_EQ(v4.port, 7090);
  ASSERT_OK_AND_ASSIGN(const GangAddress v6, ParseGangAddress("gang-address", "[2001:db8::1]:80"));
  EXPECT_EQ(v6.host, "2001:db8::1");
  EXPECT_EQ(v6.port, 80);
}

TEST(GangAddressTest, WhatIsWrongIsNamed) {
  EXPECT_THAT(Refusal(2, "worker"), HasSubstr("gang-address is 'worker': it has no port"));
  EXPECT_THAT(Refusal(2, ":7090"), HasSubstr("no host"));
  EXPECT_THAT(Refusal(2, "a:"), HasSubstr("port is not between 1 and 65535"));
  EXPECT_THAT(Refusal(2, "a:0"), HasSubstr("port is not between"));
  EXPECT_THAT(Refusal(2, "a:65536"), HasSubstr("port is not between"));
  EXPECT_THAT(Refusal(2, "::1:7090"), HasSubstr("in brackets"));
  EXPECT_THAT(Refusal(2, "0.0.0.0:7090"), HasSubstr("not all of them"));
  EXPECT_THAT(Refusal(2, "[::]:7090"), HasSubstr("not all of them"));
}

TEST(GangAddressTest, BothOptionsBelongTogether) {
  EXPECT_OK(CheckGangOptions(1, ""));
  EXPECT_OK(CheckGangOptions(2, "127.0.0.1:7090"));
  EXPECT_THAT(Refusal(2, ""), HasSubstr("gang-address is not set"));
  EXPECT_THAT(Refusal(1, "127.0.0.1:7090"), HasSubstr("max-gang is 1"));
  EXPECT_THAT(Refusal(0, ""), HasSubstr("max-gang is 0"));
  EXPECT_THAT(Refusal(65, "a:1"), HasSubstr("max-gang is 65"));
}

}  // namespace
}  // namespace crossover::worker
