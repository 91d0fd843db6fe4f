// Takes rows through the stages of a recipe. Every step's result is cached by content, so that a
// run that was killed goes on where it was, and a run that differs in its last stage repeats only
// that one.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/time/clock.h"
#include "services/data_curation/domain/recipe.h"

namespace crossover::curation {

// What one step let through. The first step is `import`.
struct FunnelStep {
  std::string stage;
  int64_t rows_in = 0;
  int64_t rows_out = 0;
  std::map<std::string, int64_t> dropped;  // by code
  std::map<std::string, int64_t> flagged;  // kept rows with this flag, by code
  std::map<std::string, int64_t> changed;
  absl::Duration duration;
  bool cached = false;
};

// Rows that go in: a JSONL file or a sealed version, by digest of its bytes.
struct PipelineInput {
  enum class Kind { kFile, kVersion };
  Kind kind = Kind::kFile;
  std::string digest;  // of the file's blob, or of the version's artifact
  std::string split;   // all its rows belong to it; "" = as the rows say
};

// Result of a step, by key. Thread-safe. Implemented by the store.
class StepCache {
 public:
  struct Entry {
    std::string digest;  // blob or artifact with the result
    FunnelStep step;
  };
  virtual ~StepCache() = default;
  virtual absl::StatusOr<std::optional<Entry>> FindStep(const std::string& key) = 0;
  virtual absl::Status PutStep(const std::string& key, const Entry& entry) = 0;
};

struct PipelineResult {
  std::string rows_artifact;  // RowTable
  std::string states_digest;  // RowStates as JSONL
  std::vector<FunnelStep> funnel;
};

struct PipelineHooks {
  // Asked often; may be empty. While the step cache is UNAVAILABLE the run waits until this is
  // true.
  std::function<bool()> cancelled;
  std::function<absl::Status(const FunnelStep&)>
      on_step;  // after each step; its error ends the run
};

// Thread-safe; one Run uses one thread. Borrows everything.
class Pipeline {
 public:
  // Temporary files go below `scratch`.
  Pipeline(BlobStore& blobs, StepCache& cache, const StageCatalogue& catalogue, Clock& clock,
           std::filesystem::path scratch);

  // `recipe` is resolved. FailedPrecondition TOO_FEW_ROWS, SPLITS_OVERLAP; InvalidArgument
  // FILE_EMPTY; Cancelled.
  absl::StatusOr<PipelineResult> Run(const std::vector<PipelineInput>& inputs, const Recipe& recipe,
                                     const PipelineHooks& hooks);

 private:
  struct State;
  absl::Status Import(const std::vector<PipelineInput>& inputs, const PipelineHooks& hooks,
                      State& state);
  absl::StatusOr<StepCache::Entry> ImportRows(const std::vector<PipelineInput>& inputs,
                                              const PipelineHooks& hooks);
  absl::Status RunStage(const RecipeStage& stage, int64_t seed, const PipelineHooks& hooks,
                        State& state);
  absl::Status OpenRows(const std::string& artifact, State& state);
  absl::StatusOr<std::optional<StepCache::Entry>> FindStep(const std::string& key,
                                                           const PipelineHooks& hooks);
  absl::Status PutStep(const std::string& key, const StepCache::Entry& entry,
                       const PipelineHooks& hooks);

  BlobStore& blobs_;
  StepCache& cache_;
  const StageCatalogue& catalogue_;
  Clock& clock_;
  const std::filesystem::path scratch_;
};

// Opens the rows of a `curation-rows` artifact.
absl::StatusOr<std::unique_ptr<RowTable>> OpenRowTable(BlobStore& blobs,
                                                       const std::string& artifact);

std::string FunnelStepToJson(const FunnelStep& step);
absl::StatusOr<FunnelStep> FunnelStepFromJson(std::string_view json);

}  // namespace crossover::curation
