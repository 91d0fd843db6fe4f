// Frozen rows and the way answers to them are graded. Never changes: its digest names it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/dataset/row.h"
#include "services/evaluation/domain/grader.h"

namespace crossover::evaluation {

enum class SuiteRole { kDev, kTest, kGeneral, kOod };
const char* Name(SuiteRole role);  // "DEV" …

struct SuiteRow {
  std::string row_digest;
  std::string messages;  // the request: JSON array of chat messages
  std::string expected;
  std::string observed;
  std::string cluster;
  std::map<std::string, std::string> attributes;  // what slices select by

  friend bool operator==(const SuiteRow&, const SuiteRow&) = default;
};

struct Slice {
  std::string name;
  std::string filter;    // over attributes, such as `fields.section = "games"`
  std::string by_field;  // one slice per value of this attribute, instead of a filter
};

// Rows of a sealed data set version. max_rows 0 = all, else drawn by seed.
struct DatasetRows {
  std::string dataset_version;
  std::string split;
  int64_t max_rows = 0;
  int64_t seed = 0;
};

struct Power {
  double detectable_difference = 1;
  double discordance = 0.2;
  std::map<std::string, int64_t> rows_needed;  // "0.02" -> rows
};

struct Suite {
  std::string name;     // projects/*/suites/{slug}/versions/{digest}
  std::string project;  // projects/*
  std::string slug;
  std::string digest;
  std::string task;
  DatasetRows dataset;              // dataset_version empty: the rows were given inline
  std::vector<GraderSpec> graders;  // the deciding one first
  std::vector<Slice> slices;
  std::string cluster_by = "cluster";
  SuiteRole role = SuiteRole::kDev;
  Power power;
  int64_t row_count = 0;
  int64_t cluster_count = 0;
  std::map<std::string, std::string> labels;
  absl::Time create_time;
};

// A person's word on the observed answer of a row.
struct Judgement {
  std::string row_digest;
  std::string annotator;
  std::string verdict;  // CORRECT | PARTIAL | WRONG
  std::string comment;
  absl::Time time;
};

// Checks graders, slices, rows and cluster_by, fills row digests, clusters, power and the digest,
// and names the version. InvalidArgument GRADER_INVALID or FIELD_INVALID; FailedPrecondition
// TOO_FEW_ROWS for no rows at all.
absl::StatusOr<Suite> Freeze(Suite suite, std::vector<SuiteRow>& rows);

// A row of a sealed version as a suite's: request without its answer, the answer, the cluster, and
// attributes: its split, language, origin, group.* and the top-level fields of a JSON answer as
// `fields.*`.
absl::StatusOr<SuiteRow> ToSuiteRow(const dataset::Row& row, const std::string& cluster_by);

// At most `max_rows` of the rows, drawn by seed, in their order. Equal inputs give equal draws.
std::vector<dataset::Row> Draw(std::vector<dataset::Row> rows, int64_t max_rows, int64_t seed);

Power ComputePower(int64_t rows);

// The names of a suite's slices that the row belongs to ("section=games" for by_field).
std::vector<std::string> SlicesOf(const std::vector<Slice>& slices, const SuiteRow& row);

}  // namespace crossover::evaluation
