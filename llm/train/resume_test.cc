// A run that is stopped and continued by another process has the bytes of one that is not, whatever
// the optimizer, the packing, the accumulation, the objective and the form of the adapter.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "llm/model/testing.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

// Rows of several lengths after a common beginning, each with a rejected answer.
std::vector<TrainRow> Rows() {
  std::mt19937 random(3);
  std::vector<TrainRow> rows;
  for (int i = 0; i < 17; ++i) {
    TrainRow row{.id = "row-" + std::to_string(i), .weight = 0.5f + 0.1f * (i % 4)};
    for (int t = 0; t < 20; ++t) row.ids.push_back(t % 5);
    row.rejected_ids = row.ids;
    for (int t = 0; t < 3 + i % 6; ++t) {
      row.ids.push_back(static_cast<int32_t>(random() % 128));
      row.rejected_ids.push_back(static_cast<int32_t>(random() % 128));
    }
    row.token_weights.assign(row.ids.size(), 1.0f);
    std::fill(row.token_weights.begin(), row.token_weights.begin() + 20, 0.0f);
    row.rejected_weights = row.token_weights;
    rows.push_back(std::move(row));
  }
  return rows;
}

// One setting of one dimension of the table.
struct Setting {
  const char* name;
  std::function<void(TrainConfig&)> apply;
};

const std::vector<Setting> kOptimizers = {
    {"adamw", [](TrainConfig&) {}},
    {"decay_without_clipping",
     [](TrainConfig& c) {
       c.weight_decay = 0.1;
       c.max_gradient_norm = 0;
       c.schedule = Schedule::kWsd;
     }},
    {"lora_plus",
     [](TrainConfig& c) {
       c.b_rate = 8;
       c.weight_decay = 0.01;
       c.schedule = Schedule::kLinear;
     }},
};

const std::vector<Setting> kPackings = {
    {"shared_prefix", [](TrainConfig&) {}},
    {"rows", [](TrainConfig& c) { c.share_prefix = false; }},
    {"small_packs",
     [](TrainConfig& c) {
       c.max_pack_tokens = 40;
       c.shuffle = false;
     }},
};

const std::vector<Setting> kAccumulations = {
    {"one", [](TrainConfig&) {}},
    {"three", [](TrainConfig& c) { c.accumulation = 3; }},
};

const std::vector<Setting> kForms = {
    {"lora", [](TrainConfig&) {}},
    {"dora_rslora_patterns",
     [](TrainConfig& c) {
       c.dora = true;
       c.rslora = true;
       c.rank_pattern = {{"q_proj", 6}};
       c.alpha_pattern = {{"layers.1.*", 4}};
       c.layers = {1, 2};
     }},
    {"pissa", [](TrainConfig& c) { c.initial = InitialAdapter::kPissa; }},
    {"dropout_neftune",
     [](TrainConfig& c) {
       c.dropout = 0.2;
       c.neftune = 5;
     }},
    {"everything",
     [](TrainConfig& c) {
       c.dora = true;
       c.initial = InitialAdapter::kPissa;
       c.dropout = 0.1;
       c.neftune = 5;
       c.recompute = Recompute::kAlways;
     }},
    {"preference", [](TrainConfig& c) { c.objective = ObjectiveKind::kPreference; }},
    {"kl_to_base",
     [](TrainConfig& c) {
       c.kl_weight = 0.3;
       c.dropout = 0.1;
     }},
};

class ResumeTest : public testing::Test {
 protected:
  ResumeTest()
      : folder_(fs::temp_directory_path() / ("crossover_resume_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~ResumeTest() override { fs::remove_all(folder_); }

  std::unique_ptr<Trainer> Make(const TrainConfig& config) const {
    auto trainer = Trainer::Create(base_, config, Rows(), {});
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    return *std::move(trainer);
  }

  // The exported folder's bytes after the run.
  std::string Finish(Trainer& trainer, const std::string& name) const {
    const auto outcome = trainer.Run(nullptr);
    EXPECT_TRUE(outcome.ok() && outcome->finished) << outcome.status();
    EXPECT_TRUE(trainer.ExportAdapter((folder_ / name).string(), "tiny").ok());
    std::ostringstream out;
    for (const char* file : {"adapter_config.json", "adapter_model.safetensors"})
      out << std::ifstream(folder_ / name / file, std::ios::binary).rdbuf();
    fs::remove_all(folder_ / name);
    return out.str();
  }

  // Stops after `step` steps and goes on in another trainer.
  std::string Resumed(const TrainConfig& config, int64_t step) const {
    const fs::path checkpoint = folder_ / "checkpoint";
    const auto first = Make(config);
    EXPECT_TRUE(first
                    ->Run([step](const StepReport& report) {
                      return report.step == step ? StepDecision::kStop : StepDecision::kContinue;
                    })
                    .ok());
    EXPECT_TRUE(first->SaveCheckpoint(checkpoint.string()).ok());
    TrainConfig other = config;  // How activations are kept is no part of a run.
    other.recompute = Recompute::kAlways;
    const auto second = Make(other);
    const absl::Status status = second->Resume(checkpoint.string());
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(second->step(), step);
    fs::remove_all(checkpoint);
    return Finish(*second, "resumed");
  }

  fs::path folder_;
  std::shared_ptr<const BaseModel> base_ = TinyModel();
};

TEST_F(ResumeTest, EverySettingOfTheTableContinuesBitForBit) {
  for (const Setting& optimizer : kOptimizers) {
    for (const Setting& packing : kPackings) {
      for (const Setting& accumulation : kAccumulations) {
        for (const Setting& form : kForms) {
          TrainConfig config{.rank = 4, .alpha = 8, .warmup_steps = 2, .epochs = 2, .seed = 5};
          config.learning_rate = 0.01;
          config.batch_rows = 3;
          for (const Setting* setting : {&optimizer, &packing, &accumulation, &form})
            setting->apply(config);
          SCOPED_TRACE(std::string(optimizer.name) + " " + packing.name + " " + accumulation.name +
                       " " + form.name);
          const auto trainer = Make(config);
          const int64_t steps = trainer->steps();
          const std::string whole = Finish(*trainer, "whole");
          ASSERT_TRUE(Resumed(config, 1 + steps / 2) == whole);
          if (&packing == &kPackings[0]) {
            ASSERT_TRUE(Resumed(config, 1) == whole);
          }
        }
      }
    }
  }
}

TEST_F(ResumeTest, Bf16WithEverythingContinuesBitForBit) {
  base_ = TinyModel(ComputeType::kBf16);
  for (const Setting& form : kForms) {
    TrainConfig config{.rank = 4, .alpha = 8, .epochs = 1, .batch_rows = 4, .seed = 5};
    form.apply(config);
    SCOPED_TRACE(form.name);
    const std::string whole = Finish(*Make(config), "whole");
    for (int64_t step = 1; step < 5; ++step) EXPECT_TRUE(Resumed(config, step) == whole) << step;
  }
}

}  // namespace
}  // namespace crossover::llm
