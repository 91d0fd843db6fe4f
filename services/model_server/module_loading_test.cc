// What a module that starts makes of the models that it is told to load.
#include "services/model_server/module_fixture.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "common/json/digest.h"

namespace crossover::inference {
namespace {

TEST_F(ModuleTest, AModelThatCanNeverBeLoadedIsTriedOnceAndNotStored) {
  const std::filesystem::path file = folder_ / "truncated.gguf";
  testing::WriteFile(file, "GGUF");
  Make({.models = {"broken=" + file.string(), "small=" + base_, "=x"}});
  fakes_->Fail(absl::InvalidArgumentError("truncated"));
  ASSERT_OK(module_->Start());
  for (int i = 0; i < 2000 && logger_.Events("model_not_loaded").size() < 3; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(1300));  // Longer than the first retry.
  EXPECT_EQ(logger_.Events("model_not_loaded").size(), 3u);
  EXPECT_EQ(fakes_->inspections(), 1);
  EXPECT_EQ(fakes_->loads(), 1);
  EXPECT_FALSE(*blobs_->Exists(DigestOf("GGUF")));
  EXPECT_THAT(module_->Ready(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ModuleTest, AFolderIsTakenInByTheFilesThatAreTheModel) {
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors", "pickle.bin"})
    testing::WriteFile(folder_ / (std::string("model/") + name), name);
  Make({.models = {"folder=" + (folder_ / "model").string()}});
  ASSERT_OK(module_->Start());
  for (int i = 0; i < 2000 && !module_->Ready().ok(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_OK(module_->Ready());
  EXPECT_EQ(testing::ReadFile(fakes_->loaded_from() / "tokenizer.json"), "tokenizer.json");
  EXPECT_FALSE(std::filesystem::exists(fakes_->loaded_from() / "pickle.bin"));
}

TEST_F(ModuleTest, AModelThatMayBeLoadedLaterIsTriedAgain) {
  Make({.models = {"small=" + base_}});
  fakes_->Fail(absl::UnavailableError("away"));
  ASSERT_OK(module_->Start());
  while (logger_.Events("model_not_loaded").empty()) std::this_thread::yield();
  EXPECT_EQ(logger_.Events("model_not_loaded")[0].Field("will_retry"), "true");
  fakes_->Fail(absl::OkStatus());
  for (int i = 0; i < 2000 && !module_->Ready().ok(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_OK(module_->Ready());
}

}  // namespace
}  // namespace crossover::inference
