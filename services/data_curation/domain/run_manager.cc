#include "services/data_curation/domain/run_manager.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/row.h"
#include "common/list/resource_name.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {
namespace {

constexpr int64_t kMaxStates = int64_t{4} << 30;  // bytes of a run's states that are read back

absl::Status InvalidField(const std::string& reason, const std::string& field,
                          const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", what),
               {.reason = reason, .violations = {{field, what}}});
}

std::vector<SplitCounts> CountsOf(const RunRows& run) {
  std::vector<SplitCounts> counts;
  for (std::string_view split : {dataset::kTrain, dataset::kValidation, dataset::kTest}) {
    SplitCounts count{.split = std::string(split)};
    std::set<std::string> clusters;
    for (const RowState& state : run.states) {
      if (!state.kept() || state.split != split) continue;
      ++count.rows;
      if (state.cluster.empty() || clusters.insert(state.cluster).second) ++count.clusters;
    }
    if (count.rows > 0) counts.push_back(std::move(count));
  }
  return counts;
}

}  // namespace

RunManager::RunManager(CurationStore& store, BlobStore& blobs, const StageCatalogue& catalogue,
                       UuidGenerator& ids, std::filesystem::path scratch)
    : store_(store),
      blobs_(blobs),
      catalogue_(catalogue),
      ids_(ids),
      scratch_(std::move(scratch)) {}

absl::StatusOr<PipelineInput> RunManager::Resolve(const std::string& project, const RunInput& input,
                                                  int64_t& rows) {
  if (auto name = list::ParseName(input.source, "projects/*/files/*"); name.ok()) {
    ASSIGN_OR_RETURN(const FileRecord file, store_.GetFile(project, (*name)[1]));
    if (file.state != FileState::kReady || file.format == FileFormat::kOpaque) {
      return Error(absl::StatusCode::kFailedPrecondition, "FILE_NOT_READY",
                   absl::StrCat("file ", input.source, " (", file.filename, ") is ",
                                std::string(Name(file.state)), " with format ",
                                std::string(Name(file.format)),
                                ": a run needs a READY file of rows. ", file.state_reason));
    }
    rows += file.row_count;
    return PipelineInput{PipelineInput::Kind::kFile, file.sha256, input.split};
  }
  ASSIGN_OR_RETURN(const auto name,
                   list::ParseName(input.source, "projects/*/datasets/*/versions/*",
                                   "curation_run.inputs.source"));
  ASSIGN_OR_RETURN(const VersionRecord version, store_.GetVersion(project, name[1], name[2]));
  for (const SplitCounts& count : version.counts) rows += count.rows;
  return PipelineInput{PipelineInput::Kind::kVersion, version.artifact_digest, input.split};
}

absl::StatusOr<RunRecord> RunManager::Create(RunRecord run, const RequestKey& key,
                                             bool validate_only) {
  if (!validate_only) {
    // First of all: a repeat gives what the first call made, whatever has become of its inputs.
    ASSIGN_OR_RETURN(const std::string earlier, store_.MadeBy(run.project, key));
    if (!earlier.empty()) return store_.GetRun(run.project, earlier);
  }
  RETURN_IF_ERROR(store_.GetDataset(run.project, run.dataset).status());
  if (run.inputs.empty()) {
    return InvalidField("FIELD_REQUIRED", "curation_run.inputs",
                        "is empty: name at least one file or version");
  }
  for (RunInput& input : run.inputs) {
    const bool known = input.split.empty() || input.split == dataset::kTrain ||
                       input.split == dataset::kValidation || input.split == dataset::kTest;
    if (!known)
      return InvalidField("FIELD_INVALID", "curation_run.inputs.split",
                          "must be train, validation or test");
    ASSIGN_OR_RETURN(input.resolved, Resolve(run.project, input, run.estimated_rows));
  }
  ASSIGN_OR_RETURN(run.resolved_recipe, curation::Resolve(run.recipe, catalogue_));
  ASSIGN_OR_RETURN(run.recipe_digest, RecipeDigest(run.resolved_recipe, catalogue_));
  run.id = ids_.NextId();
  if (validate_only) return run;
  absl::StatusOr<RunRecord> stored = store_.CreateRun(run, key);
  if (stored.ok() && on_queued_) on_queued_();
  return stored;
}

absl::StatusOr<RunRecord> RunManager::Resume(const std::string& project, const std::string& id) {
  absl::StatusOr<RunRecord> run = store_.ResumeRun(project, id);
  if (run.ok() && on_queued_) on_queued_();
  return run;
}

absl::StatusOr<RunRows> OpenRun(BlobStore& blobs, const RunRecord& run) {
  if (run.state != RunState::kSucceeded) {
    return Error(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("curation run ", run.id, " is ", std::string(Name(run.state)),
                     ": its rows can be read once it has SUCCEEDED. ", run.state_reason),
        {.reason = "RUN_NOT_SUCCEEDED", .metadata = {{"state", std::string(Name(run.state))}}});
  }
  RunRows opened;
  ASSIGN_OR_RETURN(opened.rows, OpenRowTable(blobs, run.rows_artifact));
  ASSIGN_OR_RETURN(const std::string states, blobs.ReadAll(run.states_digest, kMaxStates));
  ASSIGN_OR_RETURN(opened.states, StatesFromJsonl(states));
  if (static_cast<int64_t>(opened.states.size()) != opened.rows->size()) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("curation run ", run.id, ": ", opened.states.size(), " states for ",
                              opened.rows->size(), " rows"));
  }
  return opened;
}

absl::StatusOr<Report> RunManager::ReportOf(const RunRecord& run) {
  ASSIGN_OR_RETURN(const RunRows opened, OpenRun(blobs_, run));
  return BuildReport(*opened.rows, opened.states, run.funnel, CountsOf(opened));
}

absl::StatusOr<VersionRecord> RunManager::Seal(const SealRequest& request, const RequestKey& key) {
  if (!request.validate_only) {
    ASSIGN_OR_RETURN(const std::string earlier, store_.MadeBy(request.project, key));
    const size_t slash = earlier.find('/');
    if (!earlier.empty())
      return store_.GetVersion(request.project, earlier.substr(0, slash),
                               earlier.substr(slash + 1));
  }
  ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(request.project, request.run));
  if (run.dataset != request.dataset) {
    return InvalidField("FIELD_INVALID", "run",
                        absl::StrCat("belongs to data set `", run.dataset, "`"));
  }
  ASSIGN_OR_RETURN(const RunRows opened, OpenRun(blobs_, run));
  ASSIGN_OR_RETURN(const Tombstones tombstones, store_.AllTombstones(request.project));
  ASSIGN_OR_RETURN(const SealedRows sealed,
                   SealRows(*opened.rows, opened.states, tombstones, blobs_, scratch_));
  ASSIGN_OR_RETURN(VersionRecord version, Describe(request, run, sealed));
  if (request.validate_only) return version;
  ASSIGN_OR_RETURN(const Report report,
                   BuildReport(*opened.rows, opened.states, run.funnel, sealed.counts));
  ASSIGN_OR_RETURN(version.report, blobs_.PutBytes(ReportToJson(report)));
  const std::string holder =
      absl::StrCat("curation/versions/", version.project, "/", version.dataset);
  RETURN_IF_ERROR(blobs_.Pin(version.artifact_digest, holder));
  RETURN_IF_ERROR(blobs_.Pin(version.report, holder));
  return store_.PutVersion(version, sealed.rows, key);
}

absl::StatusOr<VersionRecord> RunManager::Describe(const SealRequest& request, const RunRecord& run,
                                                   const SealedRows& sealed) {
  ASSIGN_OR_RETURN(const DatasetRecord dataset,
                   store_.GetDataset(request.project, request.dataset));
  VersionRecord version{.project = request.project,
                        .dataset = request.dataset,
                        .labels = request.labels,
                        .merkle_root = sealed.merkle_root,
                        .recipe_digest = run.recipe_digest,
                        .sources = dataset.sources,
                        .licence = dataset.licence,
                        .parent = request.parent,
                        .run = run.id,
                        .counts = sealed.counts,
                        .clusters = sealed.clusters,
                        .artifact_digest = sealed.artifact_digest,
                        .tombstones_applied = sealed.tombstones_applied,
                        .task = dataset.task,
                        .size_bytes = sealed.size_bytes};
  // What the data set says about its sources, and the bytes the run read, by digest: names and ids
  // are not hashed.
  for (const RunInput& input : run.inputs) {
    const Source source{.digest = input.resolved.digest, .licence = dataset.licence};
    const bool known =
        std::any_of(version.sources.begin(), version.sources.end(),
                    [&source](const Source& other) { return other.digest == source.digest; });
    if (!known) version.sources.push_back(source);
  }
  std::sort(version.sources.begin(), version.sources.end());
  ASSIGN_OR_RETURN(version.digest, VersionDigest(version.merkle_root, version.recipe_digest,
                                                 version.sources, version.licence));
  return version;
}

}  // namespace crossover::curation
