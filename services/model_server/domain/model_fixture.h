// A blob store with a base and adapters, and the models over it, for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/blob/directory_blob_store.h"
#include "common/id/random.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "llm/formats/peft.h"
#include "services/model_server/domain/fake_engine.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {

class SilentObserver final : public InferenceObserver {
 public:
  void OnRequest(const absl::Status& outcome, const AnswerSummary& summary) override {
    std::lock_guard lock(mutex_);
    outcomes_.push_back(outcome);
    last_ = summary;
  }
  void OnScore(const absl::Status& outcome, const TokenUsage&) override {
    std::lock_guard lock(mutex_);
    scores_.push_back(outcome);
  }
  std::vector<absl::Status> outcomes() const {
    std::lock_guard lock(mutex_);
    return outcomes_;
  }
  std::vector<absl::Status> scores() const {
    std::lock_guard lock(mutex_);
    return scores_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<absl::Status> outcomes_;
  std::vector<absl::Status> scores_;
  AnswerSummary last_;
};

class ModelFixture : public ::testing::Test {
 protected:
  ModelFixture() {
    blobs_ = NewDirectoryBlobStore({.root = folder_ / "blobs", .reserve_bytes = 0, .sync = false},
                                   clock_)
                 .value();
    base_ = blobs_->PutBytes("a base").value();
    MakeModels({});
  }

  void MakeModels(LoadedModelsOptions options) {
    options.scratch = folder_ / "scratch";
    models_ = std::make_unique<LoadedModels>(options, loader_, *blobs_, directory_, clock_);
  }

  // The digest of a stored adapter, different for each `name`.
  std::string Adapter(const std::string& name, const std::string& base = "") {
    const auto folder = folder_ / ("adapter " + name);
    testing::WriteFile(folder / "adapter_config.json",
                       llm::LoraConfigJson({.rank = 4, .base_model = base}));
    testing::WriteFile(folder / "adapter_model.safetensors", name);
    return blobs_->PutFolder("adapter", folder).value();
  }

  FakeEngine& engine() { return *loader_.engine(base_); }

  testing::TempDir folder_;
  FakeClock clock_;
  FakeRandom random_;
  std::unique_ptr<BlobStore> blobs_;
  std::string base_;
  FakeBaseLoader loader_;
  SilentObserver observer_;
  ModelDirectory* directory_ = nullptr;
  std::unique_ptr<LoadedModels> models_;
};

}  // namespace crossover::inference
