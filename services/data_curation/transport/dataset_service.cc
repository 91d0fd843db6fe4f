#include "services/data_curation/transport/dataset_service.h"

#include <google/protobuf/util/field_mask_util.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/list/resource_name.h"
#include "common/rpc/request_key.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/store_errors.h"
#include "services/data_curation/transport/convert.h"
#include "services/data_curation/transport/names.h"
#include "services/data_curation/transport/paged.h"

namespace crossover::curation {
namespace {

std::optional<std::string> DatasetField(const DatasetRecord& dataset, const std::string& field) {
  return field == "task" ? std::optional(dataset.task) : LabelOf(dataset.labels, field);
}

std::optional<std::string> VersionField(const VersionRecord& version, const std::string& field) {
  if (field == "run") return RunName(version.project, version.dataset, version.run);
  if (field == "task") return version.task;
  if (field == "artifact_digest") return version.artifact_digest;
  return LabelOf(version.labels, field);
}

absl::Status MaskInvalid(const std::string& path) {
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("update_mask: `", path,
                            "` cannot be changed; fields: task, schema, licence, sources, labels"),
               {.reason = "UPDATE_MASK_INVALID", .violations = {{"update_mask", path}}});
}

// Copies the masked fields; an empty mask means every field that is set.
absl::Status ApplyMask(const v1::UpdateDatasetRequest& request, const DatasetRecord& given,
                       DatasetRecord& stored) {
  std::vector<std::string> paths(request.update_mask().paths().begin(),
                                 request.update_mask().paths().end());
  if (paths.empty()) {
    if (!given.task.empty()) paths.push_back("task");
    if (!given.schema.empty()) paths.push_back("schema");
    if (!given.licence.empty()) paths.push_back("licence");
    if (!given.sources.empty()) paths.push_back("sources");
    if (!given.labels.empty()) paths.push_back("labels");
  }
  for (const std::string& path : paths) {
    if (path == "task") {
      stored.task = given.task;
    } else if (path == "schema") {
      stored.schema = given.schema;
    } else if (path == "licence") {
      stored.licence = given.licence;
    } else if (path == "sources") {
      stored.sources = given.sources;
    } else if (path == "labels") {
      stored.labels = given.labels;
    } else {
      return MaskInvalid(path);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DatasetServiceImpl::DoCreateDataset(const v1::CreateDatasetRequest& request,
                                                 v1::Dataset& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  RETURN_IF_ERROR(list::CheckSlug(request.dataset_id(), "dataset_id"));
  ASSIGN_OR_RETURN(DatasetRecord dataset, FromProto(request.dataset()));
  dataset.project = parent[0];
  dataset.id = request.dataset_id();
  ASSIGN_OR_RETURN(const RequestKey key, rpc::RequestKeyOf(request, rpc::FieldNames::kJson));
  ASSIGN_OR_RETURN(dataset, store_.CreateDataset(dataset, key));
  response = ToProto(dataset);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoGetDataset(const v1::GetDatasetRequest& request,
                                              v1::Dataset& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kDatasetPattern, "name"));
  ASSIGN_OR_RETURN(const DatasetRecord dataset, store_.GetDataset(name[0], name[1]));
  response = ToProto(dataset);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoListDatasets(const v1::ListDatasetsRequest& request,
                                                v1::ListDatasetsResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  ASSIGN_OR_RETURN(
      const Listed<DatasetRecord> listed,
      ListFiltered<DatasetRecord>(
          {parent[0], "", request.page_size(), request.page_token(), request.filter(),
           request.order_by()},
          {"task", "labels.*"},
          [this](const PageQuery& query) { return store_.ListDatasets(query); }, DatasetField));
  for (const DatasetRecord& dataset : listed.records) *response.add_datasets() = ToProto(dataset);
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoUpdateDataset(const v1::UpdateDatasetRequest& request,
                                                 v1::Dataset& response) {
  ASSIGN_OR_RETURN(const auto name,
                   ParseScoped(request.dataset().name(), kDatasetPattern, "dataset.name"));
  ASSIGN_OR_RETURN(const DatasetRecord given, FromProto(request.dataset()));
  ASSIGN_OR_RETURN(DatasetRecord stored, store_.GetDataset(name[0], name[1]));
  ASSIGN_OR_RETURN(const int64_t revision, RevisionFromEtag(request.dataset().etag()));
  if (!request.dataset().etag().empty()) stored.revision = revision;
  RETURN_IF_ERROR(ApplyMask(request, given, stored));
  ASSIGN_OR_RETURN(stored, store_.UpdateDataset(stored));
  response = ToProto(stored);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoDeleteDataset(const v1::DeleteDatasetRequest& request,
                                                 google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kDatasetPattern, "name"));
  if (!request.etag().empty()) {
    ASSIGN_OR_RETURN(const DatasetRecord stored, store_.GetDataset(name[0], name[1]));
    ASSIGN_OR_RETURN(const int64_t revision, RevisionFromEtag(request.etag()));
    if (revision != stored.revision) return EtagMismatch("data set", name[1]);
  }
  return store_.DeleteDataset(name[0], name[1]);
}

absl::Status DatasetServiceImpl::DoSealDatasetVersion(const v1::SealDatasetVersionRequest& request,
                                                      v1::DatasetVersion& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kDatasetPattern, "parent"));
  ASSIGN_OR_RETURN(const auto run, ParseScoped(request.run(), kRunPattern, "run"));
  RunManager::SealRequest seal{.project = parent[0],
                               .dataset = parent[1],
                               .run = run[2],
                               .validate_only = request.validate_only()};
  ASSIGN_OR_RETURN(seal.labels, LabelsFromProto(request.labels()));
  if (!request.previous_version().empty()) {
    ASSIGN_OR_RETURN(const VersionRecord previous,
                     FindVersion(request.previous_version(), "previous_version"));
    seal.parent = previous.digest;
  }
  ASSIGN_OR_RETURN(const RequestKey key, rpc::RequestKeyOf(request, rpc::FieldNames::kJson));
  ASSIGN_OR_RETURN(const VersionRecord version, runs_.Seal(seal, key));
  response = ToProto(version);
  return absl::OkStatus();
}

absl::StatusOr<VersionRecord> DatasetServiceImpl::FindVersion(const std::string& name,
                                                              std::string_view field) {
  ASSIGN_OR_RETURN(const auto parts, ParseScoped(name, kVersionPattern, field));
  return store_.GetVersion(parts[0], parts[1], parts[2]);
}

absl::Status DatasetServiceImpl::DoGetDatasetVersion(const v1::GetDatasetVersionRequest& request,
                                                     v1::DatasetVersion& response) {
  ASSIGN_OR_RETURN(const VersionRecord version, FindVersion(request.name(), "name"));
  response = ToProto(version);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoListDatasetVersions(
    const v1::ListDatasetVersionsRequest& request, v1::ListDatasetVersionsResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kDatasetPattern, "parent"));
  ASSIGN_OR_RETURN(
      const Listed<VersionRecord> listed,
      ListFiltered<VersionRecord>(
          {parent[0], parent[1], request.page_size(), request.page_token(), request.filter(),
           request.order_by()},
          {"run", "task", "artifact_digest", "labels.*"},
          [this](const PageQuery& query) { return store_.ListVersions(query); }, VersionField));
  for (const VersionRecord& version : listed.records)
    *response.add_dataset_versions() = ToProto(version);
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoGetDatasetReport(const v1::GetDatasetReportRequest& request,
                                                    v1::DatasetReport& response) {
  if (list::ParseName(request.name(), kRunPattern).ok()) {
    ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kRunPattern, "name"));
    ASSIGN_OR_RETURN(const RunRecord run, store_.GetRun(name[0], name[2]));
    ASSIGN_OR_RETURN(const DatasetRecord dataset, store_.GetDataset(name[0], name[1]));
    ASSIGN_OR_RETURN(const Report report, runs_.ReportOf(run));
    response = ToProto(report);
    response.set_recipe_digest(run.recipe_digest);
    response.set_licence(dataset.licence);
  } else {
    ASSIGN_OR_RETURN(const VersionRecord version, FindVersion(request.name(), "name"));
    ASSIGN_OR_RETURN(const std::string json, blobs_.ReadAll(version.report));
    ASSIGN_OR_RETURN(const Report report, ReportFromJson(json));
    response = ToProto(report);
    const v1::DatasetVersion proto = ToProto(version);
    response.set_recipe_digest(proto.recipe_digest());
    *response.mutable_sources() = proto.sources();
    response.set_licence(proto.licence());
  }
  response.set_name(request.name());
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoListAdapters(const v1::ListAdaptersRequest& request,
                                                v1::ListAdaptersResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kVersionPattern, "parent"));
  std::vector<VersionRecord> versions;
  if (!request.row_digest().empty()) {
    ASSIGN_OR_RETURN(versions, store_.VersionsWithRow(parent[0], request.row_digest()));
    std::erase_if(versions, [&](const VersionRecord& version) {
      return (parent[1] != "-" && version.dataset != parent[1]) ||
             (parent[2] != "-" && version.digest != parent[2]);
    });
  } else {
    ASSIGN_OR_RETURN(VersionRecord version, store_.GetVersion(parent[0], parent[1], parent[2]));
    versions.push_back(std::move(version));
  }
  for (const VersionRecord& version : versions) {
    const std::string name = VersionName(version.project, version.dataset, version.digest);
    ASSIGN_OR_RETURN(const auto adapters, adapters_.AdaptersOf(parent[0], name));
    for (const auto& adapter : adapters) *response.add_adapters() = adapter;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> DatasetServiceImpl::AffectedVersions(
    const TombstoneRecord& tombstone) {
  std::vector<std::string> names;
  if (tombstone.row_digest.empty()) return names;
  ASSIGN_OR_RETURN(const std::vector<VersionRecord> versions,
                   store_.VersionsWithRow(tombstone.project, tombstone.row_digest));
  for (const VersionRecord& version : versions) {
    names.push_back(VersionName(version.project, version.dataset, version.digest));
  }
  return names;
}

absl::Status DatasetServiceImpl::DoForget(const v1::ForgetRequest& request,
                                          v1::Tombstone& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  TombstoneRecord tombstone{.project = parent[0],
                            .id = ids_.NextId(),
                            .row_digest = request.tombstone().row_digest(),
                            .subject = request.tombstone().subject(),
                            .reason = request.tombstone().reason()};
  if (tombstone.row_digest.empty() == tombstone.subject.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "tombstone needs either row_digest or subject: what must not come back");
  }
  ASSIGN_OR_RETURN(const RequestKey key, rpc::RequestKeyOf(request, rpc::FieldNames::kJson));
  if (!request.validate_only()) {
    ASSIGN_OR_RETURN(tombstone, store_.CreateTombstone(tombstone, key));
  }
  response = ToProto(tombstone);
  ASSIGN_OR_RETURN(const std::vector<std::string> affected, AffectedVersions(tombstone));
  for (const std::string& name : affected) response.add_affected_versions(name);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoListTombstones(const v1::ListTombstonesRequest& request,
                                                  v1::ListTombstonesResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  ASSIGN_OR_RETURN(
      const Listed<TombstoneRecord> listed,
      ListFiltered<TombstoneRecord>(
          {parent[0], "", request.page_size(), request.page_token(), "", ""}, {},
          [this](const PageQuery& query) { return store_.ListTombstones(query); },
          [](const TombstoneRecord&, const std::string&) { return std::optional<std::string>(); }));
  for (const TombstoneRecord& tombstone : listed.records)
    *response.add_tombstones() = ToProto(tombstone);
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status DatasetServiceImpl::DoUpdateRow(const v1::UpdateRowRequest&, v1::Row&) {
  return NotImplemented("UpdateRow",
                        "correct the row in its file, import it again and run the recipe");
}

}  // namespace crossover::curation
