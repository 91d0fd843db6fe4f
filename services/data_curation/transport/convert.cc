#include "services/data_curation/transport/convert.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/transport/names.h"

namespace crossover::curation {
namespace {

google::protobuf::Timestamp Stamp(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

google::protobuf::Duration Span(absl::Duration duration) {
  return google::protobuf::util::TimeUtil::MicrosecondsToDuration(
      absl::ToInt64Microseconds(duration));
}

absl::StatusOr<google::protobuf::Struct> StructOf(const std::string& json) {
  google::protobuf::Struct value;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &value);
  if (status.ok()) return value;
  return Error(absl::StatusCode::kInternal, "INTERNAL_ERROR",
               absl::StrCat("stored JSON: ", status.ToString()));
}

absl::StatusOr<nlohmann::json> JsonOf(const google::protobuf::Struct& value) {
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(value, &text);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (status.ok() && json.is_object()) return json;
  return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
               "parameters hold a number that JSON cannot");
}

template <typename Proto>
void PutCounts(const std::map<std::string, int64_t>& counts, Proto& map) {
  for (const auto& [key, count] : counts) map[key] = count;
}

template <typename List>
void PutSources(const std::vector<Source>& sources, List* list) {
  for (const Source& source : sources) {
    v1::Source& item = *list->Add();
    item.set_uri(source.uri);
    item.set_digest(source.digest);
    item.set_licence(source.licence);
  }
}

template <typename List>
void PutSplits(const std::vector<SplitCounts>& counts, List* list) {
  for (const SplitCounts& count : counts) {
    v1::DatasetVersion::SplitCounts& item = *list->Add();
    item.set_split(count.split);
    item.set_rows(count.rows);
    item.set_clusters(count.clusters);
    item.set_characters(count.characters);
  }
}

absl::StatusOr<v1::Recipe> RecipeToProto(const Recipe& recipe) {
  v1::Recipe proto;
  proto.set_seed(recipe.seed);
  for (const RecipeStage& stage : recipe.stages) {
    v1::Recipe::Stage& item = *proto.add_stages();
    item.set_name(stage.name);
    ASSIGN_OR_RETURN(*item.mutable_parameters(), StructOf(stage.parameters.dump()));
  }
  return proto;
}

v1::RunInput InputToProto(const RunInput& input) {
  v1::RunInput proto;
  if (input.resolved.kind == PipelineInput::Kind::kFile) {
    proto.set_file(input.source);
  } else {
    proto.set_dataset_version(input.source);
  }
  proto.set_split(input.split);
  return proto;
}

}  // namespace

v1::File ToProto(const FileRecord& file) {
  v1::File proto;
  proto.set_name(FileName(file.project, file.id));
  *proto.mutable_create_time() = Stamp(file.create_time);
  *proto.mutable_update_time() = Stamp(file.update_time);
  proto.set_etag(absl::StrCat(file.revision));
  proto.mutable_labels()->insert(file.labels.begin(), file.labels.end());
  proto.set_filename(file.filename);
  proto.set_purpose(file.purpose);
  proto.set_size_bytes(file.size_bytes);
  proto.set_sha256(file.sha256);
  v1::File::Format format = v1::File::FORMAT_UNSPECIFIED;
  v1::File::Format_Parse(std::string(Name(file.format)), &format);
  proto.set_format(format);
  if (file.expire_time.has_value()) *proto.mutable_expire_time() = Stamp(*file.expire_time);
  v1::File::State state = v1::File::STATE_UNSPECIFIED;
  v1::File::State_Parse(std::string(Name(file.state)), &state);
  proto.set_state(state);
  proto.set_state_reason(file.state_reason);
  proto.set_row_count(file.row_count);
  proto.set_problem_count(file.problem_count);
  return proto;
}

v1::Problem ToProto(const Problem& problem) {
  v1::Problem proto;
  proto.set_line(problem.line);
  proto.set_field(problem.field);
  proto.set_code(problem.code);
  proto.set_message(problem.message);
  proto.set_severity(problem.severity == Problem::Severity::kError ? v1::Problem::ERROR
                                                                   : v1::Problem::WARNING);
  return proto;
}

v1::Dataset ToProto(const DatasetRecord& dataset) {
  v1::Dataset proto;
  proto.set_name(DatasetName(dataset.project, dataset.id));
  *proto.mutable_create_time() = Stamp(dataset.create_time);
  *proto.mutable_update_time() = Stamp(dataset.update_time);
  proto.set_etag(absl::StrCat(dataset.revision));
  proto.mutable_labels()->insert(dataset.labels.begin(), dataset.labels.end());
  proto.set_task(dataset.task);
  proto.set_schema(dataset.schema);
  proto.set_licence(dataset.licence);
  PutSources(dataset.sources, proto.mutable_sources());
  if (!dataset.current_version.empty()) {
    proto.set_current_version(VersionName(dataset.project, dataset.id, dataset.current_version));
  }
  return proto;
}

v1::FunnelStep ToProto(const FunnelStep& step) {
  v1::FunnelStep proto;
  proto.set_stage(step.stage);
  proto.set_rows_in(step.rows_in);
  proto.set_rows_out(step.rows_out);
  PutCounts(step.dropped, *proto.mutable_dropped());
  PutCounts(step.flagged, *proto.mutable_flagged());
  PutCounts(step.changed, *proto.mutable_changed());
  *proto.mutable_duration() = Span(step.duration);
  proto.set_cached(step.cached);
  return proto;
}

absl::StatusOr<v1::CurationRun> ToProto(const RunRecord& run) {
  v1::CurationRun proto;
  proto.set_name(RunName(run.project, run.dataset, run.id));
  *proto.mutable_create_time() = Stamp(run.create_time);
  *proto.mutable_update_time() = Stamp(run.update_time);
  proto.set_etag(absl::StrCat(run.revision));
  proto.mutable_labels()->insert(run.labels.begin(), run.labels.end());
  for (const RunInput& input : run.inputs) *proto.add_inputs() = InputToProto(input);
  ASSIGN_OR_RETURN(*proto.mutable_recipe(), RecipeToProto(run.recipe));
  ASSIGN_OR_RETURN(*proto.mutable_resolved_recipe(), RecipeToProto(run.resolved_recipe));
  proto.set_recipe_digest(run.recipe_digest);
  for (const FunnelStep& step : run.funnel) *proto.add_funnel() = ToProto(step);
  proto.mutable_estimate()->set_rows(run.estimated_rows);
  // About 2,000 rows a second through the default recipe on one core.
  *proto.mutable_estimate()->mutable_seconds() = Span(absl::Seconds(1 + run.estimated_rows / 2000));
  v1::CurationRun::State state = v1::CurationRun::STATE_UNSPECIFIED;
  v1::CurationRun::State_Parse(std::string(Name(run.state)), &state);
  proto.set_state(state);
  proto.set_state_reason(run.state_reason);
  proto.set_error_reason(run.error_reason);
  if (run.finish_time.has_value()) *proto.mutable_finish_time() = Stamp(*run.finish_time);
  if (!run.dataset_version.empty()) {
    proto.set_dataset_version(VersionName(run.project, run.dataset, run.dataset_version));
  }
  return proto;
}

v1::DatasetVersion ToProto(const VersionRecord& version) {
  v1::DatasetVersion proto;
  proto.set_name(VersionName(version.project, version.dataset, version.digest));
  *proto.mutable_create_time() = Stamp(version.create_time);
  *proto.mutable_update_time() = Stamp(version.create_time);
  proto.set_etag(version.digest);
  proto.mutable_labels()->insert(version.labels.begin(), version.labels.end());
  proto.set_digest(version.digest);
  proto.set_merkle_root(version.merkle_root);
  proto.set_recipe_digest(version.recipe_digest);
  PutSources(version.sources, proto.mutable_sources());
  proto.set_licence(version.licence);
  if (!version.parent.empty())
    proto.set_parent(VersionName(version.project, version.dataset, version.parent));
  proto.set_run(RunName(version.project, version.dataset, version.run));
  PutSplits(version.counts, proto.mutable_counts());
  proto.set_clusters(version.clusters);
  proto.set_report(version.report);
  proto.set_artifact_digest(version.artifact_digest);
  proto.set_tombstones_applied(version.tombstones_applied);
  proto.set_task(version.task);
  proto.set_size_bytes(version.size_bytes);
  return proto;
}

v1::Tombstone ToProto(const TombstoneRecord& tombstone) {
  v1::Tombstone proto;
  proto.set_name(absl::StrCat("projects/", tombstone.project, "/tombstones/", tombstone.id));
  *proto.mutable_create_time() = Stamp(tombstone.create_time);
  if (tombstone.row_digest.empty()) {
    proto.set_subject(tombstone.subject);
  } else {
    proto.set_row_digest(tombstone.row_digest);
  }
  proto.set_reason(tombstone.reason);
  return proto;
}

v1::DatasetReport ToProto(const Report& report) {
  v1::DatasetReport proto;
  for (const FunnelStep& step : report.funnel) *proto.add_funnel() = ToProto(step);
  PutSplits(report.counts, proto.mutable_counts());
  for (const Finding& finding : report.findings) {
    v1::DatasetReport::Finding& item = *proto.add_findings();
    item.set_severity(finding.severity);
    item.set_stage(finding.stage);
    item.set_code(finding.code);
    item.set_message(finding.message);
    item.set_rows(finding.rows);
    item.mutable_examples()->Assign(finding.examples.begin(), finding.examples.end());
  }
  for (const LabelCount& count : report.label_counts) {
    v1::DatasetReport::LabelCount& item = *proto.add_label_counts();
    item.set_field(count.field);
    item.set_label(count.label);
    PutCounts(count.rows, *item.mutable_rows());
  }
  return proto;
}

absl::StatusOr<Labels> LabelsFromProto(
    const google::protobuf::Map<std::string, std::string>& labels) {
  bool fits = labels.size() <= 16;
  for (const auto& [key, value] : labels)
    fits = fits && !key.empty() && key.size() <= 64 && value.size() <= 512;
  if (fits) return Labels(labels.begin(), labels.end());
  return Error(absl::StatusCode::kInvalidArgument, "labels are too many or too long",
               {.reason = "FIELD_INVALID",
                .violations = {{"labels", "at most 16, keys to 64 and values to 512 characters"}}});
}

absl::StatusOr<DatasetRecord> FromProto(const v1::Dataset& dataset) {
  DatasetRecord record{
      .task = dataset.task(), .schema = dataset.schema(), .licence = dataset.licence()};
  ASSIGN_OR_RETURN(record.labels, LabelsFromProto(dataset.labels()));
  if (!record.schema.empty() && !nlohmann::json::accept(record.schema)) {
    return Error(
        absl::StatusCode::kInvalidArgument, "dataset.schema is not valid JSON",
        {.reason = "FIELD_INVALID", .violations = {{"dataset.schema", "is not valid JSON"}}});
  }
  for (const v1::Source& source : dataset.sources()) {
    record.sources.push_back({source.uri(), source.digest(), source.licence()});
  }
  return record;
}

absl::StatusOr<Recipe> FromProto(const v1::Recipe& proto) {
  Recipe recipe{.seed = proto.seed()};
  for (const v1::Recipe::Stage& stage : proto.stages()) {
    ASSIGN_OR_RETURN(nlohmann::json parameters, JsonOf(stage.parameters()));
    recipe.stages.push_back({stage.name(), std::move(parameters)});
  }
  return recipe;
}

absl::StatusOr<RunInput> FromProto(const v1::RunInput& input) {
  RunInput record{.split = input.split()};
  switch (input.source_case()) {
    case v1::RunInput::kFile:
      record.source = input.file();
      break;
    case v1::RunInput::kDatasetVersion:
      record.source = input.dataset_version();
      break;
    case v1::RunInput::SOURCE_NOT_SET:
      return Error(absl::StatusCode::kInvalidArgument, "inputs: an entry has no source",
                   {.reason = "FIELD_REQUIRED",
                    .violations = {{"curation_run.inputs", "needs file or dataset_version"}}});
    default:
      return NotImplemented("this kind of input", "export its rows as JSONL and give the file");
  }
  // The name's shape and project are checked here; whether it exists, by the domain.
  const char* pattern = input.source_case() == v1::RunInput::kFile ? kFilePattern : kVersionPattern;
  RETURN_IF_ERROR(ParseScoped(record.source, pattern, "curation_run.inputs.source").status());
  return record;
}

absl::StatusOr<int64_t> RevisionFromEtag(const std::string& etag) {
  int64_t revision = 0;
  if (etag.empty() || absl::SimpleAtoi(etag, &revision)) return revision;
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               "etag is not the current one: read again and repeat the change");
}

}  // namespace crossover::curation
