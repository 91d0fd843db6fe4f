#include "services/data_curation/domain/pipeline.h"

#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/dataset/shard.h"
#include "common/id/random.h"
#include "common/json/canonical.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/import.h"
#include "services/data_curation/domain/insist.h"

namespace crossover::curation {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kImportVersion = 1;
constexpr char kRowsKind[] = "curation-rows";

Json CountsOrEmpty(const Json& value, const char* key) { return value.value(key, Json::object()); }

Json InputsToJson(const std::vector<PipelineInput>& inputs) {
  Json value = Json::array();
  for (const PipelineInput& input : inputs) {
    value.push_back(
        {{"digest", input.digest}, {"split", input.split}, {"kind", static_cast<int>(input.kind)}});
  }
  return value;
}

int64_t CountKept(const RowStates& states) {
  int64_t kept = 0;
  for (const RowState& state : states) kept += state.kept() ? 1 : 0;
  return kept;
}

absl::Status CheckCancelled(const PipelineHooks& hooks) {
  if (hooks.cancelled && hooks.cancelled()) return absl::CancelledError("the run was cancelled");
  return absl::OkStatus();
}

FunnelStep StepOf(const std::string& stage, int64_t rows_in,
                  const std::vector<RowChange>& changes) {
  FunnelStep step{.stage = stage, .rows_in = rows_in, .rows_out = rows_in};
  for (const RowChange& change : changes) {
    if (!change.drop.empty()) {
      ++step.dropped[change.drop];
      --step.rows_out;
      continue;
    }
    for (const Flag& flag : change.flags) ++step.flagged[flag.code];
    if (change.split.has_value()) ++step.changed["split_" + *change.split];
  }
  return step;
}

}  // namespace

// What is known while a run goes on.
struct Pipeline::State {
  std::string key;  // of the last step: digest of all that led to it
  std::string rows_artifact;
  std::unique_ptr<RowTable> rows;
  RowStates states;
  std::vector<FunnelStep> funnel;
};

Pipeline::Pipeline(BlobStore& blobs, StepCache& cache, const StageCatalogue& catalogue,
                   Clock& clock, fs::path scratch)
    : blobs_(blobs),
      cache_(cache),
      catalogue_(catalogue),
      clock_(clock),
      scratch_(std::move(scratch)) {}

absl::StatusOr<std::unique_ptr<RowTable>> OpenRowTable(BlobStore& blobs,
                                                       const std::string& artifact) {
  ASSIGN_OR_RETURN(const fs::path rows, blobs.LocalPathOf(artifact, "rows.jsonl"));
  ASSIGN_OR_RETURN(const fs::path index, blobs.LocalPathOf(artifact, "rows.idx"));
  return RowTable::Open(rows, index);
}

absl::StatusOr<PipelineResult> Pipeline::Run(const std::vector<PipelineInput>& inputs,
                                             const Recipe& recipe, const PipelineHooks& hooks) {
  State state;
  RETURN_IF_ERROR(Import(inputs, hooks, state));
  for (const RecipeStage& stage : recipe.stages) {
    RETURN_IF_ERROR(CheckCancelled(hooks));
    RETURN_IF_ERROR(RunStage(stage, recipe.seed, hooks, state));
  }
  ASSIGN_OR_RETURN(std::string states_digest, blobs_.PutBytes(StatesToJsonl(state.states)));
  return PipelineResult{std::move(state.rows_artifact), std::move(states_digest),
                        std::move(state.funnel)};
}

absl::StatusOr<std::optional<StepCache::Entry>> Pipeline::FindStep(const std::string& key,
                                                                   const PipelineHooks& hooks) {
  return Insist(clock_, hooks.cancelled, [&] { return cache_.FindStep(key); });
}

absl::Status Pipeline::PutStep(const std::string& key, const StepCache::Entry& entry,
                               const PipelineHooks& hooks) {
  return Insist(clock_, hooks.cancelled, [&] { return cache_.PutStep(key, entry); });
}

absl::Status Pipeline::Import(const std::vector<PipelineInput>& inputs, const PipelineHooks& hooks,
                              State& state) {
  ASSIGN_OR_RETURN(state.key, CanonicalDigest(Json{{"import", kImportVersion},
                                                   {"inputs", InputsToJson(inputs)}}));
  ASSIGN_OR_RETURN(std::optional<StepCache::Entry> entry, FindStep(state.key, hooks));
  const bool cached = entry.has_value() && blobs_.Exists(entry->digest).value_or(false);
  if (!cached) {
    ASSIGN_OR_RETURN(entry, ImportRows(inputs, hooks));
    RETURN_IF_ERROR(PutStep(state.key, *entry, hooks));
  }
  entry->step.cached = cached;
  RETURN_IF_ERROR(OpenRows(entry->digest, state));
  state.funnel.push_back(entry->step);
  return hooks.on_step ? hooks.on_step(entry->step) : absl::OkStatus();
}

absl::Status Pipeline::OpenRows(const std::string& artifact, State& state) {
  state.rows_artifact = artifact;
  ASSIGN_OR_RETURN(state.rows, OpenRowTable(blobs_, artifact));
  state.states.assign(state.rows->size(), {});
  for (int64_t i = 0; i < state.rows->size(); ++i) {
    ASSIGN_OR_RETURN(const dataset::Row row, state.rows->Get(i));
    state.states[i].split = row.split;
  }
  return absl::OkStatus();
}

absl::StatusOr<StepCache::Entry> Pipeline::ImportRows(const std::vector<PipelineInput>& inputs,
                                                      const PipelineHooks& hooks) {
  const absl::Duration started = clock_.SteadyNow();
  const fs::path folder = scratch_ / ("import-" + SystemRandom().Hex(8));
  const auto remove = absl::MakeCleanup([&folder] {
    std::error_code
        ignored;  // a left-over scratch folder costs space only, and is emptied at the next start
    fs::remove_all(folder, ignored);
  });
  ASSIGN_OR_RETURN(const std::unique_ptr<RowTableWriter> writer, RowTableWriter::Create(folder));
  FunnelStep step{.stage = "import"};
  int64_t count = 0;
  for (const PipelineInput& input : inputs) {
    const auto add = [&](dataset::Row row) -> absl::Status {
      if (++count % 256 == 0) RETURN_IF_ERROR(CheckCancelled(hooks));
      row.origin.file = input.digest;
      if (!input.split.empty()) row.split = input.split;
      row.cluster.clear();  // clusters are this run's to find
      return writer->Add(row);
    };
    if (input.kind == PipelineInput::Kind::kVersion) {
      const fs::path shards = folder / absl::StrCat("version-", count);
      RETURN_IF_ERROR(blobs_.Materialise(input.digest, shards));
      ASSIGN_OR_RETURN(const std::unique_ptr<dataset::ShardReader> reader,
                       dataset::ShardReader::Open(shards, {}));
      while (true) {
        ASSIGN_OR_RETURN(std::optional<dataset::Row> row, reader->Next());
        if (!row.has_value()) break;
        RETURN_IF_ERROR(add(*std::move(row)));
      }
      fs::remove_all(shards);
      continue;
    }
    ASSIGN_OR_RETURN(const fs::path path, blobs_.LocalPath(input.digest));
    ASSIGN_OR_RETURN(const ImportSummary summary,
                     ImportJsonl(path, {}, add, [](const Problem&) { return absl::OkStatus(); }));
    if (summary.bad_lines > 0) step.dropped["row_invalid"] += summary.bad_lines;
    step.rows_in += summary.bad_lines;
  }
  if (count == 0) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FILE_EMPTY",
        absl::StrCat(
            "no row could be read from the ", inputs.size(), " inputs (", step.rows_in,
            " lines are wrong): look at the problems of the file, or upload one with rows"));
  }
  RETURN_IF_ERROR(writer->Finish());
  step.rows_in += count;
  step.rows_out = count;
  step.duration = clock_.SteadyNow() - started;
  ASSIGN_OR_RETURN(std::string artifact, blobs_.PutFolder(kRowsKind, folder));
  return StepCache::Entry{std::move(artifact), std::move(step)};
}

absl::Status Pipeline::RunStage(const RecipeStage& stage, int64_t seed, const PipelineHooks& hooks,
                                State& state) {
  const Stage* code = catalogue_.Find(stage.name);
  if (code == nullptr) return RecipeError(stage.name, "is not known");
  ASSIGN_OR_RETURN(state.key, CanonicalDigest(Json{{"after", state.key},
                                                   {"stage", stage.name},
                                                   {"parameters", stage.parameters},
                                                   {"seed", seed},
                                                   {"code_version", code->code_version()}}));
  ASSIGN_OR_RETURN(std::optional<StepCache::Entry> entry, FindStep(state.key, hooks));
  const bool cached = entry.has_value() && blobs_.Exists(entry->digest).value_or(false);
  std::vector<RowChange> changes;
  if (cached) {
    ASSIGN_OR_RETURN(const std::string bytes, blobs_.ReadAll(entry->digest));
    ASSIGN_OR_RETURN(changes, ChangesFromJsonl(bytes));
  } else {
    const absl::Duration started = clock_.SteadyNow();
    ASSIGN_OR_RETURN(changes, code->Run({*state.rows, state.states, stage.parameters,
                                         static_cast<uint64_t>(seed), hooks.cancelled}));
    entry.emplace();
    entry->step = StepOf(stage.name, CountKept(state.states), changes);
    entry->step.duration = clock_.SteadyNow() - started;
    ASSIGN_OR_RETURN(entry->digest, blobs_.PutBytes(ChangesToJsonl(changes)));
    RETURN_IF_ERROR(PutStep(state.key, *entry, hooks));
  }
  entry->step.cached = cached;
  RETURN_IF_ERROR(Apply(stage.name, changes, state.states));
  state.funnel.push_back(entry->step);
  return hooks.on_step ? hooks.on_step(entry->step) : absl::OkStatus();
}

std::string FunnelStepToJson(const FunnelStep& step) {
  return Json{{"stage", step.stage},
              {"rows_in", step.rows_in},
              {"rows_out", step.rows_out},
              {"dropped", step.dropped},
              {"flagged", step.flagged},
              {"changed", step.changed},
              {"seconds", absl::ToDoubleSeconds(step.duration)},
              {"cached", step.cached}}
      .dump();
}

absl::StatusOr<FunnelStep> FunnelStepFromJson(std::string_view json) {
  try {
    const Json value = Json::parse(json);
    FunnelStep step{.stage = value.at("stage"),
                    .rows_in = value.at("rows_in"),
                    .rows_out = value.at("rows_out")};
    step.dropped = CountsOrEmpty(value, "dropped").get<std::map<std::string, int64_t>>();
    step.flagged = CountsOrEmpty(value, "flagged").get<std::map<std::string, int64_t>>();
    step.changed = CountsOrEmpty(value, "changed").get<std::map<std::string, int64_t>>();
    step.duration = absl::Seconds(value.value("seconds", 0.0));
    step.cached = value.value("cached", false);
    return step;
  } catch (const Json::exception& e) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("funnel step: ", e.what()));
  }
}

}  // namespace crossover::curation
