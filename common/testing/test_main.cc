// main() of every test program. An ASSERT_ that fails in a helper ends the whole test, not the
// helper alone: what follows would work with what the helper has not made, and a null pointer is a
// poorer message than the failure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace {

// As the advanced guide of GoogleTest has it ("Asserting on Subroutines with an Exception").
class EndTest final : public ::testing::EmptyTestEventListener {
 public:
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    // On other threads nobody would catch it.
    const bool here = std::this_thread::get_id() == main_thread_;
    if (here && result.fatally_failed()) throw ::testing::AssertionException(result);
  }

 private:
  const std::thread::id main_thread_ = std::this_thread::get_id();
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new EndTest);  // which takes it over
  return RUN_ALL_TESTS();
}
