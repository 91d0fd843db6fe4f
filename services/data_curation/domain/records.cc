#include "services/data_curation/domain/records.h"

#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {
namespace {

using Json = nlohmann::json;

template <typename Enum>
using Names = std::vector<std::pair<Enum, std::string_view>>;

const Names<FileState>& FileStates() {
  static const Names<FileState> names = {{FileState::kUploading, "UPLOADING"},
                                         {FileState::kValidating, "VALIDATING"},
                                         {FileState::kReady, "READY"},
                                         {FileState::kRejected, "REJECTED"}};
  return names;
}

const Names<RunState>& RunStates() {
  static const Names<RunState> names = {{RunState::kQueued, "QUEUED"},
                                        {RunState::kRunning, "RUNNING"},
                                        {RunState::kNeedsReview, "NEEDS_REVIEW"},
                                        {RunState::kSucceeded, "SUCCEEDED"},
                                        {RunState::kFailed, "FAILED"},
                                        {RunState::kCancelled, "CANCELLED"}};
  return names;
}

const Names<FileFormat>& FileFormats() {
  static const Names<FileFormat> names = {
      {FileFormat::kUnknown, "FORMAT_UNSPECIFIED"},
      {FileFormat::kChat, "CHAT_JSONL"},
      {FileFormat::kPromptCompletion, "PROMPT_COMPLETION_JSONL"},
      {FileFormat::kPreference, "PREFERENCE_JSONL"},
      {FileFormat::kCrossover, "CROSSOVER_JSONL"},
      {FileFormat::kOpaque, "OPAQUE"}};
  return names;
}

template <typename Enum>
std::string_view NameIn(const Names<Enum>& names, Enum value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "";
}

template <typename Enum>
std::optional<Enum> FromName(const Names<Enum>& names, std::string_view name) {
  for (const auto& [value, known] : names) {
    if (known == name) return value;
  }
  return std::nullopt;
}

Json SourcesToJson(const std::vector<Source>& sources) {
  Json list = Json::array();
  for (const Source& source : sources) {
    list.push_back({{"uri", source.uri}, {"digest", source.digest}, {"licence", source.licence}});
  }
  return list;
}

std::vector<Source> SourcesFromJson(const Json& list) {
  std::vector<Source> sources;
  for (const Json& item : list)
    sources.push_back({item.at("uri"), item.at("digest"), item.at("licence")});
  return sources;
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Runs `read` on the parsed text; what the database holds and this code cannot read is data loss.
template <typename Fn>
absl::Status Read(std::string_view json, Fn read) {
  try {
    return read(Json::parse(json));
  } catch (const Json::exception& e) {
    return Error(absl::StatusCode::kDataLoss, "INTERNAL_ERROR",
                 absl::StrCat("stored record: ", e.what()));
  }
}

Json InputToJson(const RunInput& input) {
  return {{"source", input.source},
          {"split", input.split},
          {"kind", static_cast<int>(input.resolved.kind)},
          {"digest", input.resolved.digest}};
}

RunInput InputFromJson(const Json& item) {
  RunInput input{.source = item.at("source"), .split = item.at("split")};
  input.resolved = {static_cast<PipelineInput::Kind>(item.at("kind").get<int>()), item.at("digest"),
                    input.split};
  return input;
}

}  // namespace

std::string_view Name(FileState state) { return NameIn(FileStates(), state); }
std::string_view Name(RunState state) { return NameIn(RunStates(), state); }
std::string_view Name(FileFormat format) { return NameIn(FileFormats(), format); }
std::optional<FileState> FileStateFromName(std::string_view name) {
  return FromName(FileStates(), name);
}
std::optional<RunState> RunStateFromName(std::string_view name) {
  return FromName(RunStates(), name);
}
std::optional<FileFormat> FileFormatFromName(std::string_view name) {
  return FromName(FileFormats(), name);
}

std::string DetailsToJson(const FileRecord& file) {
  Json value = {{"labels", file.labels},
                {"format", std::string(Name(file.format))},
                {"row_count", file.row_count},
                {"problem_count", file.problem_count}};
  if (file.expire_time.has_value()) value["expire_unix"] = absl::ToUnixSeconds(*file.expire_time);
  return Dump(value);
}

absl::Status DetailsFromJson(std::string_view json, FileRecord& file) {
  return Read(json, [&file](const Json& value) {
    file.labels = value.at("labels").get<Labels>();
    file.format =
        FileFormatFromName(value.at("format").get<std::string>()).value_or(FileFormat::kUnknown);
    file.row_count = value.at("row_count");
    file.problem_count = value.at("problem_count");
    if (value.contains("expire_unix"))
      file.expire_time = absl::FromUnixSeconds(value["expire_unix"].get<int64_t>());
    return absl::OkStatus();
  });
}

std::string DetailsToJson(const DatasetRecord& dataset) {
  return Dump({{"labels", dataset.labels},
               {"schema", dataset.schema},
               {"licence", dataset.licence},
               {"sources", SourcesToJson(dataset.sources)}});
}

absl::Status DetailsFromJson(std::string_view json, DatasetRecord& dataset) {
  return Read(json, [&dataset](const Json& value) {
    dataset.labels = value.at("labels").get<Labels>();
    dataset.schema = value.at("schema");
    dataset.licence = value.at("licence");
    dataset.sources = SourcesFromJson(value.at("sources"));
    return absl::OkStatus();
  });
}

std::string DetailsToJson(const RunRecord& run) {
  Json value = {{"labels", run.labels},
                {"inputs", Json::array()},
                {"recipe", Json::parse(RecipeToJson(run.recipe))},
                {"resolved_recipe", Json::parse(RecipeToJson(run.resolved_recipe))},
                {"estimated_rows", run.estimated_rows},
                {"funnel", Json::array()},
                {"rows_artifact", run.rows_artifact},
                {"states_digest", run.states_digest}};
  for (const RunInput& input : run.inputs) value["inputs"].push_back(InputToJson(input));
  for (const FunnelStep& step : run.funnel)
    value["funnel"].push_back(Json::parse(FunnelStepToJson(step)));
  return Dump(value);
}

absl::Status DetailsFromJson(std::string_view json, RunRecord& run) {
  return Read(json, [&run](const Json& value) -> absl::Status {
    run.labels = value.at("labels").get<Labels>();
    for (const Json& item : value.at("inputs")) run.inputs.push_back(InputFromJson(item));
    ASSIGN_OR_RETURN(run.recipe, RecipeFromJson(value.at("recipe").dump()));
    ASSIGN_OR_RETURN(run.resolved_recipe, RecipeFromJson(value.at("resolved_recipe").dump()));
    run.estimated_rows = value.at("estimated_rows");
    for (const Json& item : value.at("funnel")) {
      ASSIGN_OR_RETURN(FunnelStep step, FunnelStepFromJson(item.dump()));
      run.funnel.push_back(std::move(step));
    }
    run.rows_artifact = value.at("rows_artifact");
    run.states_digest = value.at("states_digest");
    return absl::OkStatus();
  });
}

std::string DetailsToJson(const VersionRecord& version) {
  Json value = {{"labels", version.labels},
                {"merkle_root", version.merkle_root},
                {"recipe_digest", version.recipe_digest},
                {"sources", SourcesToJson(version.sources)},
                {"licence", version.licence},
                {"parent", version.parent},
                {"counts", Json::array()},
                {"clusters", version.clusters},
                {"report", version.report},
                {"tombstones_applied", version.tombstones_applied},
                {"size_bytes", version.size_bytes}};
  for (const SplitCounts& count : version.counts) {
    value["counts"].push_back({{"split", count.split},
                               {"rows", count.rows},
                               {"clusters", count.clusters},
                               {"characters", count.characters}});
  }
  return Dump(value);
}

absl::Status DetailsFromJson(std::string_view json, VersionRecord& version) {
  return Read(json, [&version](const Json& value) {
    version.labels = value.at("labels").get<Labels>();
    version.merkle_root = value.at("merkle_root");
    version.recipe_digest = value.at("recipe_digest");
    version.sources = SourcesFromJson(value.at("sources"));
    version.licence = value.at("licence");
    version.parent = value.at("parent");
    for (const Json& item : value.at("counts")) {
      version.counts.push_back(
          {item.at("split"), item.at("rows"), item.at("clusters"), item.at("characters")});
    }
    version.clusters = value.at("clusters");
    version.report = value.at("report");
    version.tombstones_applied = value.at("tombstones_applied");
    version.size_bytes = value.at("size_bytes");
    return absl::OkStatus();
  });
}

}  // namespace crossover::curation
