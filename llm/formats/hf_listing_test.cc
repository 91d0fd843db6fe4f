#include "llm/formats/hf_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/error.h"
#include "common/testing/temp_dir.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HfListingTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, std::string_view text = "{}") {
    crossover::testing::WriteFile(folder_ / ("model/" + name), text);
  }
  void WriteSmall() {
    for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) Write(name);
  }
  absl::Status Listed() const { return HfModelFiles(model_).status(); }
  static std::string Message(const absl::Status& status) { return std::string(status.message()); }

  crossover::testing::TempDir folder_;
  const fs::path model_ = folder_ / "model";
};

TEST_F(HfListingTest, WhatIsNeitherConfigurationTokenizerNorWeightsStaysBehind) {
  WriteSmall();
  for (const char* name : {"README.md", "pytorch_model.bin", "modeling_x.py", "onnx/model.onnx",
                           "generation_config.json", "chat_template.jinja", "training_args.bin",
                           "other.safetensors", "tokenizer_config.json"})
    Write(name);
  const auto files = HfModelFiles(model_);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_THAT(*files, ElementsAre("chat_template.jinja", "config.json", "generation_config.json",
                                  "model.safetensors", "tokenizer.json", "tokenizer_config.json"));
}

TEST_F(HfListingTest, ShardsAreThoseOfTheIndexAndAMissingOneIsNamed) {
  WriteSmall();
  fs::remove(model_ / "model.safetensors");
  Write(
      "model.safetensors.index.json",
      R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}})");
  Write("m-1.safetensors");
  absl::Status status = Listed();
  EXPECT_TRUE(HasReason(status, "FILE_MISSING")) << status;
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("model/m-2.safetensors"), HasSubstr("index.json names it")));
  Write("m-2.safetensors");
  EXPECT_THAT(HfModelFiles(model_).value(),
              ElementsAre("config.json", "m-1.safetensors", "m-2.safetensors",
                          "model.safetensors.index.json", "tokenizer.json"));
  for (const char* index :
       {"[]", R"({"weight_map": {}})", R"({"weight_map": {"a": 1}})",
        R"({"weight_map": {"a": "../m.safetensors"}})", R"({"weight_map": {"a": ".."}})"}) {
    Write("model.safetensors.index.json", index);
    EXPECT_TRUE(HasReason(Listed(), "FORMAT_INVALID")) << index;
  }
}

TEST_F(HfListingTest, WhatIsMissingIsNamedWithWhatToDo) {
  EXPECT_THAT(Message(Listed()), AllOf(HasSubstr("model/config.json"), HasSubstr("snapshots")));
  Write("config.json");
  EXPECT_THAT(Message(Listed()), HasSubstr("neither model.safetensors nor"));
  Write("model.safetensors");
  EXPECT_THAT(Message(Listed()),
              AllOf(HasSubstr("model/tokenizer.json"), HasSubstr("save_pretrained")));
  EXPECT_TRUE(HasReason(Listed(), "FILE_MISSING"));
  fs::create_directory(model_ / "tokenizer.json");
  EXPECT_TRUE(HasReason(Listed(), "FILE_UNREADABLE")) << Listed();
}

TEST_F(HfListingTest, APickleIsNotReadAndTheMessageSaysHowToConvertIt) {
  WriteSmall();
  fs::remove(model_ / "model.safetensors");
  Write("training_args.bin");
  EXPECT_TRUE(HasReason(Listed(), "FILE_MISSING")) << Listed();
  Write("pytorch_model-00001-of-00002.bin");
  const absl::Status status = Listed();
  EXPECT_TRUE(HasReason(status, "MODEL_UNSUPPORTED")) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("pytorch_model-00001-of-00002.bin is a pickle"),
                                     HasSubstr("safetensors")));
}

TEST_F(HfListingTest, LinksAreFollowedAndThoseToNothingAreMissing) {
  crossover::testing::WriteFile(folder_ / "blobs/1", "{}");
  fs::create_directory(model_);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
    fs::create_symlink("../blobs/1", model_ / name);
  EXPECT_TRUE(Listed().ok()) << Listed();
  fs::create_symlink("../blobs/2", model_ / "chat_template.jinja");
  EXPECT_THAT(Message(Listed()), HasSubstr("chat_template.jinja is missing"));
  fs::remove(model_ / "chat_template.jinja");
  fs::remove(model_ / "tokenizer.json");
  fs::create_symlink("../blobs/2", model_ / "tokenizer.json");
  EXPECT_TRUE(HasReason(Listed(), "FILE_MISSING")) << Listed();
  fs::remove(model_ / "tokenizer.json");
  fs::create_symlink("tokenizer.json", model_ / "tokenizer.json");  // to itself
  EXPECT_TRUE(HasReason(Listed(), "FILE_UNREADABLE")) << Listed();
}

TEST_F(HfListingTest, LinksOutOfTheFolderAreRefusedToThoseWhoImport) {
  crossover::testing::WriteFile(folder_ / "secret", "{}");
  WriteSmall();
  EXPECT_TRUE(CheckHfLinks(model_, HfModelFiles(model_).value()).ok());
  fs::create_symlink("config.json", model_ / "added_tokens.json");  // within the folder
  EXPECT_TRUE(CheckHfLinks(model_, HfModelFiles(model_).value()).ok());
  fs::create_symlink("../secret", model_ / "merges.txt");
  const absl::Status status = CheckHfLinks(model_, HfModelFiles(model_).value());
  EXPECT_TRUE(HasReason(status, "FILE_UNREADABLE")) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("merges.txt"), HasSubstr("is a link to")));
}

TEST_F(HfListingTest, LinksIntoTheModelsOwnPartOfTheCacheAreFollowed) {
  crossover::testing::WriteFile(folder_ / "hub/models--a/blobs/1", "{}");
  crossover::testing::WriteFile(folder_ / "hub/models--b/blobs/1", "{}");
  const fs::path snapshot = folder_ / "hub/models--a/snapshots/0123";
  fs::create_directories(snapshot);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
    fs::create_symlink("../../blobs/1", snapshot / name);
  EXPECT_TRUE(CheckHfLinks(snapshot, HfModelFiles(snapshot).value()).ok());
  fs::remove(snapshot / "config.json");
  fs::create_symlink("../../../models--b/blobs/1", snapshot / "config.json");
  EXPECT_TRUE(HasReason(CheckHfLinks(snapshot, HfModelFiles(snapshot).value()), "FILE_UNREADABLE"));
}

}  // namespace
}  // namespace crossover::llm
