// Records to and from curation.v1. Nothing here decides anything.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "crossover/curation/v1/dataset.pb.h"
#include "crossover/curation/v1/dataset_service.pb.h"
#include "crossover/curation/v1/file.pb.h"
#include "crossover/curation/v1/row.pb.h"
#include "services/data_curation/domain/curation_store.h"
#include "services/data_curation/domain/report.h"
#include "services/data_curation/domain/row_reader.h"

namespace crossover::curation {

v1::File ToProto(const FileRecord& file);
v1::Problem ToProto(const Problem& problem);
v1::Dataset ToProto(const DatasetRecord& dataset);
v1::FunnelStep ToProto(const FunnelStep& step);
absl::StatusOr<v1::CurationRun> ToProto(const RunRecord& run);
v1::DatasetVersion ToProto(const VersionRecord& version);
// Without affected_versions.
v1::Tombstone ToProto(const TombstoneRecord& tombstone);
v1::DatasetReport ToProto(const Report& report);
// `parent` is the run or version the row lies in.
absl::StatusOr<v1::Row> ToProto(const RowView& row, const std::string& parent);

// InvalidArgument FIELD_INVALID for labels beyond 16 or too long.
absl::StatusOr<Labels> LabelsFromProto(
    const google::protobuf::Map<std::string, std::string>& labels);
absl::StatusOr<DatasetRecord> FromProto(const v1::Dataset& dataset);
absl::StatusOr<Recipe> FromProto(const v1::Recipe& recipe);
// Unimplemented NOT_IMPLEMENTED for sources other than files and versions.
absl::StatusOr<RunInput> FromProto(const v1::RunInput& input);

// InvalidArgument FIELD_INVALID unless empty or a number.
absl::StatusOr<int64_t> RevisionFromEtag(const std::string& etag);

}  // namespace crossover::curation
