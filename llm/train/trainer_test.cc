#include "llm/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>

#include "common/status/error.h"
#include "llm/model/testing.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

class TrainerTest : public testing::Test {
 protected:
  TrainerTest()
      : folder_(fs::temp_directory_path() / ("crossover_trainer_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~TrainerTest() override { fs::remove_all(folder_); }

  // After a shared prefix and a key, the answer is a function of the key.
  static std::vector<TrainRow> Rows(int n, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<TrainRow> rows;
    for (int i = 0; i < n; ++i) {
      TrainRow row{.id = "row-" + std::to_string(i)};
      for (int t = 0; t < 24; ++t) row.ids.push_back(t % 5);
      const int key = static_cast<int>(random() % 8);
      row.ids.push_back(20 + key);
      row.token_weights.assign(row.ids.size(), 0.0f);
      for (int t = 0; t < 3; ++t) row.ids.push_back(60 + (key * 3 + t) % 11);
      row.token_weights.resize(row.ids.size(), 1.0f);
      rows.push_back(std::move(row));
    }
    return rows;
  }

  static TrainConfig Config() {
    return {.rank = 8,
            .alpha = 16,
            .learning_rate = 0.01,
            .warmup_steps = 2,
            .epochs = 3,
            .batch_rows = 8,
            .seed = 5};
  }

  std::unique_ptr<Trainer> Make(const TrainConfig& config, std::vector<TrainRow> rows,
                                std::vector<TrainRow> validation = {}) {
    auto trainer = Trainer::Create(base_, config, std::move(rows), std::move(validation));
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    return *std::move(trainer);
  }

  std::vector<double> Losses(const TrainConfig& config, const std::vector<TrainRow>& rows) {
    std::vector<double> losses;
    const auto outcome = Make(config, rows)->Run([&](const StepReport& report) {
      losses.push_back(report.loss);
      return StepDecision::kContinue;
    });
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return losses;
  }

  std::string AdapterBytes(const Trainer& trainer, const std::string& name) {
    const fs::path folder = folder_ / name;
    EXPECT_TRUE(trainer.ExportAdapter(folder.string(), "tiny").ok());
    std::ostringstream out;
    out << std::ifstream(folder / "adapter_model.safetensors", std::ios::binary).rdbuf();
    return out.str();
  }

  fs::path folder_;
  std::shared_ptr<const BaseModel> base_ = TinyModel();
};

StepCallback StopAfter(int64_t step) {
  return [step](const StepReport& report) {
    return report.step == step ? StepDecision::kStop : StepDecision::kContinue;
  };
}

TEST_F(TrainerTest, LearnsATaskAndReportsTheWay) {
  const auto trainer = Make(Config(), Rows(64, 1), Rows(16, 2));
  const auto before = trainer->Evaluate();
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<StepReport> reports;
  const auto outcome = trainer->Run([&](const StepReport& report) {
    reports.push_back(report);
    return StepDecision::kContinue;
  });
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->finished);
  ASSERT_EQ(reports.size(), 24u);
  EXPECT_EQ(reports.back().step, 24);
  EXPECT_EQ(reports[0].trained_tokens, 24);
  EXPECT_EQ(reports[0].tokens, 8 * 28);
  EXPECT_LT(reports[0].computed_tokens, reports[0].tokens / 2);
  EXPECT_NEAR(reports[0].learning_rate, 0.005, 1e-9);
  const auto after = trainer->Evaluate();
  EXPECT_LT(after->loss, before->loss / 3);
  EXPECT_GT(after->token_accuracy, 0.7);
}

TEST_F(TrainerTest, ResumedRunHasTheBytesOfAnUninterruptedOne) {
  for (const ComputeType type : {ComputeType::kFp32, ComputeType::kBf16}) {
    base_ = TinyModel(type);
    const std::string suffix = type == ComputeType::kFp32 ? "32" : "16";
    const auto whole = Make(Config(), Rows(30, 1));
    ASSERT_TRUE(whole->Run(nullptr).ok());

    const std::string checkpoint = (folder_ / ("checkpoint" + suffix)).string();
    const auto first = Make(Config(), Rows(30, 1));
    ASSERT_TRUE(first->Run(StopAfter(5)).ok());
    ASSERT_TRUE(first->SaveCheckpoint(checkpoint).ok());
    const auto second = Make(Config(), Rows(30, 1));
    ASSERT_TRUE(second->Resume(checkpoint).ok());
    EXPECT_EQ(second->step(), 5);
    const auto outcome = second->Run(nullptr);
    ASSERT_TRUE(outcome.ok() && outcome->finished);
    EXPECT_EQ(AdapterBytes(*whole, "whole" + suffix), AdapterBytes(*second, "resumed" + suffix));
  }
}

TEST_F(TrainerTest, AWindowsLossIsTheWeightedMeanAlsoOfAPartialOne) {
  std::vector<TrainRow> rows = Rows(21, 1);
  rows[20].weight = 3;
  TrainConfig config = Config();
  config.epochs = 1;
  config.shuffle = false;
  config.learning_rate = 1e-12;  // All windows see the same adapter.
  config.batch_rows = 2;
  config.accumulation = 4;
  const std::vector<double> losses = Losses(config, rows);
  ASSERT_EQ(losses.size(), 3u);
  const std::vector<TrainRow> last(rows.begin() + 16, rows.end());
  const auto mean = Make(config, rows, last)->Evaluate();
  ASSERT_TRUE(mean.ok()) << mean.status();
  EXPECT_NEAR(losses[2], mean->loss, 1e-5 * mean->loss);
  const std::vector<TrainRow> unweighted = [&] {
    std::vector<TrainRow> copy = last;
    copy.back().weight = 1;
    return copy;
  }();
  EXPECT_GT(std::abs(Make(config, rows, unweighted)->Evaluate()->loss - mean->loss), 1e-4);
}

TEST_F(TrainerTest, PackingAndPrefixSharingChangeLossesByRoundingOnly) {
  const std::vector<TrainRow> rows = Rows(24, 1);
  const std::vector<double> shared = Losses(Config(), rows);
  TrainConfig config = Config();
  config.share_prefix = false;
  const std::vector<double> separate = Losses(config, rows);
  config.max_pack_tokens = 60;
  const std::vector<double> small = Losses(config, rows);
  for (size_t i = 0; i < shared.size(); ++i) {
    EXPECT_NEAR(shared[i], separate[i], 1e-4 * separate[i]);
    EXPECT_NEAR(small[i], separate[i], 1e-4 * separate[i]);
  }
}

TEST_F(TrainerTest, ExportedAdapterIsAStartForAnotherRun) {
  const auto first = Make(Config(), Rows(32, 1), Rows(16, 2));
  ASSERT_TRUE(first->Run(nullptr).ok());
  ASSERT_TRUE(first->ExportAdapter((folder_ / "adapter").string(), "tiny").ok());
  const auto second = Make(Config(), Rows(32, 1), Rows(16, 2));
  ASSERT_TRUE(second->LoadAdapter((folder_ / "adapter").string()).ok());
  EXPECT_EQ(second->Evaluate()->loss, first->Evaluate()->loss);
  TrainConfig other = Config();
  other.rank = 4;
  EXPECT_TRUE(HasReason(Make(other, Rows(8, 1))->LoadAdapter((folder_ / "adapter").string()),
                        "ADAPTER_MISMATCH"));
}

TEST_F(TrainerTest, ValidationLossThatIsNotANumberIsAnErrorAndNamesTheRow) {
  TrainConfig config = Config();
  config.learning_rate = 1e30;
  config.max_gradient_norm = 0;
  const auto trainer = Make(config, Rows(32, 1), Rows(4, 2));
  ASSERT_TRUE(trainer->Run(StopAfter(1)).ok());
  const auto loss = trainer->Evaluate();
  EXPECT_TRUE(HasReason(loss.status(), "LOSS_NOT_FINITE")) << loss.status();
  EXPECT_NE(std::string(loss.status().message()).find("validation loss"), std::string::npos);
}

TEST_F(TrainerTest, LossThatIsNotANumberStopsAndNamesTheRow) {
  TrainConfig config = Config();
  config.learning_rate = 1e30;
  config.max_gradient_norm = 0;
  const auto outcome = Make(config, Rows(32, 1))->Run(nullptr);
  EXPECT_TRUE(HasReason(outcome.status(), "LOSS_NOT_FINITE")) << outcome.status();
  EXPECT_THAT(std::string(outcome.status().message()), testing::HasSubstr("row-"));
}

TEST_F(TrainerTest, DamagedOrForeignCheckpointIsRefused) {
  const std::string checkpoint = (folder_ / "checkpoint").string();
  const auto trainer = Make(Config(), Rows(16, 1));
  ASSERT_TRUE(trainer->Run(StopAfter(2)).ok());
  ASSERT_TRUE(trainer->SaveCheckpoint(checkpoint).ok());
  EXPECT_TRUE(HasReason(Make(Config(), Rows(16, 9))->Resume(checkpoint), "CHECKPOINT_MISMATCH"));
  TrainConfig other = Config();
  other.learning_rate = 1e-3;
  EXPECT_TRUE(HasReason(Make(other, Rows(16, 1))->Resume(checkpoint), "CHECKPOINT_MISMATCH"));
  {
    std::fstream file(fs::path(checkpoint) / "state.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('x');
  }
  EXPECT_TRUE(HasReason(Make(Config(), Rows(16, 1))->Resume(checkpoint), "CHECKPOINT_DAMAGED"));
  fs::resize_file(fs::path(checkpoint) / "state.safetensors", 4000);
  EXPECT_TRUE(HasReason(Make(Config(), Rows(16, 1))->Resume(checkpoint), "CHECKPOINT_DAMAGED"));
}

TEST_F(TrainerTest, ACheckpointThatWasComputedInAnotherTypeIsLeftToWhoComputesInIt) {
  const std::string checkpoint = (folder_ / "of_fp32").string();
  base_ = TinyModel(ComputeType::kFp32);
  const auto trainer = Make(Config(), Rows(16, 1));
  ASSERT_TRUE(trainer->Run(StopAfter(2)).ok());
  ASSERT_TRUE(trainer->SaveCheckpoint(checkpoint).ok());
  base_ = TinyModel(ComputeType::kBf16);
  const absl::Status refused = Make(Config(), Rows(16, 1))->Resume(checkpoint);
  EXPECT_TRUE(HasReason(refused, "WORKERS_DIFFER")) << refused;
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("computed in fp32, and this process computes in bf16"));
  base_ = TinyModel(ComputeType::kFp32);
  EXPECT_TRUE(Make(Config(), Rows(16, 1))->Resume(checkpoint).ok());
}

TEST_F(TrainerTest, BadRowsAndConfigurationsAreNamed) {
  const auto reason = [&](TrainConfig config, std::vector<TrainRow> rows) {
    return DetailOf(Trainer::Create(base_, config, std::move(rows), {}).status()).reason;
  };
  EXPECT_EQ(reason(Config(), {}), "NO_ROWS");
  std::vector<TrainRow> rows = Rows(3, 1);
  rows[1].token_weights.assign(rows[1].ids.size(), 0.0f);
  EXPECT_EQ(reason(Config(), rows), "ROW_WITHOUT_TRAINED_TOKEN");
  rows = Rows(3, 1);
  rows[2].ids[4] = 128;
  EXPECT_EQ(reason(Config(), rows), "TOKEN_OUT_OF_RANGE");
  rows = Rows(3, 1);
  rows[0].ids.resize(600, 1);
  rows[0].token_weights.resize(600, 1);
  EXPECT_EQ(reason(Config(), rows), "ROW_TOO_LONG");
  TrainConfig config = Config();
  config.learning_rate = -1;
  EXPECT_EQ(reason(config, Rows(3, 1)), "BAD_TRAIN_CONFIG");
}

TEST_F(TrainerTest, EstimateCountsTokensAndSteps) {
  const auto trainer = Make(Config(), Rows(20, 1));
  const TrainEstimate estimate = trainer->Estimate();
  EXPECT_EQ(estimate.steps, 9);
  EXPECT_EQ(estimate.tokens, 20 * 28 * 3);
  EXPECT_LT(estimate.computed_tokens, estimate.tokens);
  EXPECT_GT(estimate.activation_bytes, 0);
}

}  // namespace
}  // namespace crossover::llm
