// What curation keeps: files, data sets, runs, versions, tombstones. Plain values; the store gives
// and takes them whole.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/data_curation/domain/import.h"
#include "services/data_curation/domain/pipeline.h"
#include "services/data_curation/domain/recipe.h"
#include "services/data_curation/domain/seal.h"

namespace crossover::curation {

using Labels = std::map<std::string, std::string>;

enum class FileState { kUploading, kValidating, kReady, kRejected };

struct FileRecord {
  std::string project;
  std::string id;
  absl::Time create_time;
  absl::Time update_time;
  int64_t revision = 0;  // the etag
  Labels labels;
  std::string filename;
  std::string purpose;
  int64_t size_bytes = 0;
  std::string sha256;  // digest of its blob; set when all bytes are there
  FileFormat format = FileFormat::kUnknown;
  std::optional<absl::Time> expire_time;
  FileState state = FileState::kUploading;
  std::string state_reason;
  int64_t row_count = 0;
  int64_t problem_count = 0;
};

struct DatasetRecord {
  std::string project;
  std::string id;  // slug
  absl::Time create_time;
  absl::Time update_time;
  int64_t revision = 0;
  Labels labels;
  std::string task;
  std::string schema;
  std::string licence;
  std::vector<Source> sources;
  std::string current_version;  // digest
};

enum class RunState { kQueued, kRunning, kNeedsReview, kSucceeded, kFailed, kCancelled };

inline bool IsTerminal(RunState state) {
  return state == RunState::kSucceeded || state == RunState::kFailed ||
         state == RunState::kCancelled;
}

// What the caller named, and what it stands for.
struct RunInput {
  std::string source;  // resource name of the file or version
  std::string split;
  PipelineInput resolved;
};

struct RunRecord {
  std::string project;
  std::string dataset;
  std::string id;
  absl::Time create_time;
  absl::Time update_time;
  std::optional<absl::Time> finish_time;
  int64_t revision = 0;
  Labels labels;
  std::vector<RunInput> inputs;
  Recipe recipe;           // as given
  Recipe resolved_recipe;  // every parameter set
  std::string recipe_digest;
  int64_t estimated_rows = 0;
  std::vector<FunnelStep> funnel;
  RunState state = RunState::kQueued;
  std::string state_reason;
  std::string error_reason;
  std::string rows_artifact;  // set when SUCCEEDED
  std::string states_digest;
  std::string dataset_version;  // digest it was sealed as
  int64_t lease_epoch = 0;      // rises with every claim; a worker's writes carry it
};

struct RunEvent {
  int64_t sequence = 0;  // from 1, without gaps
  absl::Time time;
  std::string type;  // "state_changed", "stage_finished"
  std::string message;
  std::string data;  // JSON object
};

struct VersionRecord {
  std::string project;
  std::string dataset;
  std::string digest;
  absl::Time create_time;
  Labels labels;
  std::string merkle_root;
  std::string recipe_digest;
  std::vector<Source> sources;
  std::string licence;
  std::string parent;  // digest
  std::string run;     // id
  std::vector<SplitCounts> counts;
  int64_t clusters = 0;
  std::string report;  // digest of its JSON
  std::string artifact_digest;
  int64_t tombstones_applied = 0;
  std::string task;
  int64_t size_bytes = 0;
};

struct TombstoneRecord {
  std::string project;
  std::string id;
  absl::Time create_time;
  std::string row_digest;  // one of these two
  std::string subject;
  std::string reason;
};

// Names as api.md and the protos have them ("READY"); FromName gives nullopt for an unknown one.
std::string_view Name(FileState state);
std::string_view Name(RunState state);
std::string_view Name(FileFormat format);
std::optional<FileState> FileStateFromName(std::string_view name);
std::optional<RunState> RunStateFromName(std::string_view name);
std::optional<FileFormat> FileFormatFromName(std::string_view name);

// The parts of a record that no column holds, as JSON.
std::string DetailsToJson(const FileRecord& file);
absl::Status DetailsFromJson(std::string_view json, FileRecord& file);
std::string DetailsToJson(const DatasetRecord& dataset);
absl::Status DetailsFromJson(std::string_view json, DatasetRecord& dataset);
std::string DetailsToJson(const RunRecord& run);
absl::Status DetailsFromJson(std::string_view json, RunRecord& run);
std::string DetailsToJson(const VersionRecord& version);
absl::Status DetailsFromJson(std::string_view json, VersionRecord& version);

}  // namespace crossover::curation
