#include "common/id/uuid7.h"

#include <gtest/gtest.h>

#include "common/testing/matchers.h"
#include "common/time/fake_clock.h"

namespace crossover {
namespace {

class UuidTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  FakeRandom random_;
  UuidGenerator generator_{clock_, random_};
};

TEST_F(UuidTest, HasVersionVariantAndTheMillisecondOfItsMaking) {
  const Uuid uuid = generator_.Next();
  EXPECT_EQ(uuid.bytes[6] >> 4, 7);
  EXPECT_EQ(uuid.bytes[8] >> 6, 2);
  EXPECT_EQ(uuid.CreateTime(), clock_.Now());
}

TEST_F(UuidTest, IdsRiseWithinAMillisecondAndWhenTheClockStepsBack) {
  std::string last = generator_.NextId();
  for (int i = 0; i < 10'000; ++i) {
    if (i == 5'000) clock_.JumpWallClock(-absl::Hours(1));
    const std::string next = generator_.NextId();
    ASSERT_LT(last, next);
    last = next;
  }
}

TEST_F(UuidTest, TextFormsRoundTripAndSortAlike) {
  for (int i = 0; i < 100; ++i) {
    const Uuid uuid = generator_.Next();
    EXPECT_EQ(uuid.ToId().size(), 26u);
    EXPECT_THAT(ParseId(uuid.ToId()), IsOkAndHolds(uuid));
    EXPECT_THAT(ParseUuid(uuid.ToUuid()), IsOkAndHolds(uuid));
    EXPECT_THAT(UuidToId(uuid.ToUuid()), IsOkAndHolds(uuid.ToId()));
    clock_.Advance(absl::Milliseconds(1));
  }
}

TEST_F(UuidTest, KnownValue) {
  ASSERT_OK_AND_ASSIGN(const Uuid uuid, ParseUuid("01890a5d-ac96-774b-bcce-b302099a8057"));
  EXPECT_EQ(uuid.ToId(), "01h455vb4pex5vsknk084sn02q");
  EXPECT_THAT(ParseUuid("ffffffff-ffff-ffff-ffff-ffffffffffff").value().ToId(),
              "7zzzzzzzzzzzzzzzzzzzzzzzzz");
}

TEST_F(UuidTest, RefusesWhatIsNotAnId) {
  for (const std::string_view bad : {"", "01h455vb4pex5vsknk084sn02", "81h455vb4pex5vsknk084sn02q",
                                     "01h455vb4pex5vsknk084sn02u", "01h455vb4pex5vsknk084sn02q0"}) {
    EXPECT_THAT(ParseId(bad), HasReasonThat("ID_INVALID")) << bad;
  }
  EXPECT_THAT(ParseUuid("01890a5dac96774bbcceb302099a8057"), HasReasonThat("ID_INVALID"));
}

TEST(RandomTest, HexAndUniformHaveTheirShapes) {
  EXPECT_EQ(SystemRandom().Hex(16).size(), 32u);
  EXPECT_NE(SystemRandom().Hex(16), SystemRandom().Hex(16));
  FakeRandom random;
  for (int i = 0; i < 1000; ++i) {
    const double value = random.Uniform();
    EXPECT_GE(value, 0);
    EXPECT_LT(value, 1);
  }
}

}  // namespace
}  // namespace crossover
