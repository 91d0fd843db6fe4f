#include "services/training_scheduler/model_files/llm_adapter_forms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/blob/directory_blob_store.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "llm/formats/testing_adapter.h"
#include "llm/lora/adapter.h"
#include "llm/tokenizer/testing_folder.h"

namespace crossover::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LlmAdapterFormsTest : public ::testing::Test {
 protected:
  LlmAdapterFormsTest() {
    EXPECT_OK(llm::WriteSmallFolder(folder_ / "base", model_));
    base_ = *blobs_->PutFolder("model", folder_ / "base");
  }

  absl::StatusOr<AdapterForm> Form(const llm::LoraConfig& config,
                                   std::vector<llm::LoraLayout::Spec> specs) {
    const llm::LoraLayout layout(model_, std::move(specs));
    const std::filesystem::path folder = folder_ / "adapter";
    EXPECT_OK(llm::WriteAdapter(folder, config, layout, llm::InitialValues(layout, 1)));
    return forms_.Read(*blobs_->PutFolder("adapter", folder), base_);
  }

  crossover::testing::TempDir folder_;
  FakeClock clock_;
  std::unique_ptr<BlobStore> blobs_ =
      *NewDirectoryBlobStore({.root = folder_ / "blobs", .sync = false}, clock_);
  const llm::ModelConfig model_ = llm::SmallFolderModel();
  std::string base_;
  LlmAdapterForms forms_{*blobs_};
};

TEST_F(LlmAdapterFormsTest, RankScaleTargetsAndLayersAreThoseOfTheFiles) {
  std::vector<llm::LoraLayout::Spec> specs;
  for (const llm::Target target : {llm::Target::kQ, llm::Target::kDown})
    specs.push_back({.layer = 0, .target = target, .rank = 4, .scale = 2, .dora = true});
  ASSERT_OK_AND_ASSIGN(const AdapterForm form, Form({.rank = 4,
                                                     .alpha = 8,
                                                     .target_modules = {"down_proj", "q_proj"},
                                                     .dora = true,
                                                     .layers = {0}},
                                                    specs));
  EXPECT_EQ(form.rank, 4);
  EXPECT_EQ(form.alpha, 8);
  EXPECT_FALSE(form.rank_stabilised);
  EXPECT_TRUE(form.dora);
  EXPECT_THAT(form.targets, ElementsAre("q_proj", "down_proj"));
  EXPECT_THAT(form.layers, ElementsAre(0));
  EXPECT_EQ(form.all_layers, model_.layers == 1);
}

TEST_F(LlmAdapterFormsTest, AllLayersAreKnownAsAll) {
  std::vector<llm::LoraLayout::Spec> specs;
  for (int64_t layer = 0; layer < model_.layers; ++layer)
    specs.push_back({.layer = layer, .target = llm::Target::kV, .rank = 2, .scale = 1});
  ASSERT_OK_AND_ASSIGN(const AdapterForm form,
                       Form({.rank = 2, .alpha = 2, .target_modules = {"v_proj"}}, specs));
  EXPECT_TRUE(form.all_layers);
  EXPECT_FALSE(form.dora);
}

TEST_F(LlmAdapterFormsTest, WhatNoJobTrainsIsRefused) {
  EXPECT_THAT(Form({.rank = 2, .alpha = 2, .target_modules = {"q_proj", "v_proj"}},
                   {{.layer = 0, .target = llm::Target::kQ, .rank = 2, .scale = 1},
                    {.layer = 0, .target = llm::Target::kV, .rank = 2, .scale = 1},
                    {.layer = 1, .target = llm::Target::kQ, .rank = 2, .scale = 1}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 linear layers")));
}

TEST_F(LlmAdapterFormsTest, OtherBytesAreNoAdapterAndABaseThatIsNotHereSaysNothing) {
  const std::string bytes = *blobs_->PutBytes("a checkpoint, say");
  EXPECT_THAT(forms_.Read(bytes, base_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("adapter_config.json")));
  EXPECT_THAT(forms_.Read(bytes, absl::StrCat("sha256:", std::string(64, '0'))),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace crossover::scheduler
