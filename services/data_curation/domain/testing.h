// Private to tests of data_curation: rows, files and a cache in memory.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/blob/directory_blob_store.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/data_curation/domain/pipeline.h"

namespace crossover::curation {

class FakeStepCache final : public StepCache {
 public:
  absl::StatusOr<std::optional<Entry>> FindStep(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(key);
    return entry == entries_.end() ? std::nullopt : std::optional(entry->second);
  }
  absl::Status PutStep(const std::string& key, const Entry& entry) override {
    const std::lock_guard lock(mutex_);
    entries_[key] = entry;
    return absl::OkStatus();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

// {"messages":[user, assistant], …extra} as one line.
inline std::string JsonRow(const std::string& input, const std::string& answer,
                           nlohmann::json extra = nlohmann::json::object()) {
  extra["messages"] = {{{"role", "user"}, {"content", input}},
                       {{"role", "assistant"}, {"content", answer}}};
  return extra.dump() + "\n";
}

// A pipeline over a real blob store in a temporary folder.
class PipelineFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    auto blobs =
        NewDirectoryBlobStore({.root = dir_ / "blobs", .reserve_bytes = 0, .sync = false}, clock_);
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs_ = *std::move(blobs);
    pipeline_ = std::make_unique<Pipeline>(*blobs_, cache_, catalogue_, clock_, dir_ / "scratch");
  }

  PipelineInput File(const std::string& text, const std::string& split = "") {
    return {.digest = *blobs_->PutBytes(text), .split = split};
  }

  // Runs the recipe given as {"stage": {parameters}, …} pairs in order; `split` is added with its
  // defaults.
  absl::StatusOr<PipelineResult> Run(const std::vector<PipelineInput>& inputs,
                                     std::vector<RecipeStage> stages, PipelineHooks hooks = {},
                                     int64_t seed = 0) {
    if (stages.empty() || stages.back().name != "split")
      stages.push_back({"split", {{"min_rows", 0}}});
    absl::StatusOr<Recipe> recipe =
        Resolve({.stages = std::move(stages), .seed = seed}, catalogue_);
    if (!recipe.ok()) return recipe.status();
    return pipeline_->Run(inputs, *recipe, hooks);
  }

  RowStates StatesOf(const PipelineResult& result) {
    return *StatesFromJsonl(*blobs_->ReadAll(result.states_digest));
  }
  std::unique_ptr<RowTable> RowsOf(const PipelineResult& result) {
    return *OpenRowTable(*blobs_, result.rows_artifact);
  }
  static const FunnelStep& StepOf(const PipelineResult& result, std::string_view stage) {
    for (const FunnelStep& step : result.funnel) {
      if (step.stage == stage) return step;
    }
    ADD_FAILURE() << "no step " << stage;
    return result.funnel.front();
  }

  crossover::testing::TempDir dir_;
  FakeClock clock_;
  FakeStepCache cache_;
  StageCatalogue catalogue_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace crossover::curation
