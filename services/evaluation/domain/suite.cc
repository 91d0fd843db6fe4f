#include "services/evaluation/domain/suite.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/dataset/digest.h"
#include "common/dataset/row_json.h"
#include "common/json/canonical.h"
#include "common/list/filter.h"
#include "common/stats/power.h"
#include "common/stats/random.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/json_codec.h"

namespace crossover::evaluation {
namespace {

// Share of rows on which two systems are assumed to differ.
constexpr double kAssumedDiscordance = 0.2;

const std::vector<std::string> kAttributes = {"fields.*", "group.*", "split",
                                              "language", "origin",  "attributes.*"};

std::string ClusterOf(const dataset::Row& row, const std::string& cluster_by) {
  if (cluster_by == "group.conversation") return row.group.conversation;
  if (cluster_by == "group.user") return row.group.user;
  if (cluster_by == "group.template") return row.group.template_id;
  if (cluster_by == "group.source") return row.group.source;
  return row.cluster;
}

absl::Status CheckGraders(const std::vector<GraderSpec>& graders) {
  if (graders.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
                 "suite_version.graders: at least one grader is needed");
  }
  std::set<std::string> names;
  for (const GraderSpec& grader : graders) {
    RETURN_IF_ERROR(MakeGrader(grader).status());
    if (!names.insert(grader.name).second) {
      return Error(
          absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
          absl::StrCat("suite_version.graders: two graders are called '", grader.name, "'"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSlices(const std::vector<Slice>& slices) {
  for (const Slice& slice : slices) {
    if (slice.by_field.empty() == slice.filter.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                   absl::StrCat("suite_version.slices: slice '", slice.name,
                                "' needs either filter or by_field"));
    }
    if (!slice.filter.empty())
      RETURN_IF_ERROR(list::ParseFilter(slice.filter, kAttributes).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DigestOfRow(const SuiteRow& row) {
  return CanonicalDigest({{"messages", nlohmann::json::parse(row.messages, nullptr, false)},
                          {"expected", row.expected},
                          {"observed", row.observed}});
}

}  // namespace

const char* Name(SuiteRole role) {
  constexpr const char* kNames[] = {"DEV", "TEST", "GENERAL", "OOD"};
  return kNames[static_cast<int>(role)];
}

absl::StatusOr<Suite> Freeze(Suite suite, std::vector<SuiteRow>& rows) {
  RETURN_IF_ERROR(CheckGraders(suite.graders));
  RETURN_IF_ERROR(CheckSlices(suite.slices));
  if (rows.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "TOO_FEW_ROWS",
                 "the suite has no rows: give another split or inline rows");
  }
  static const std::set<std::string> kClusterBy = {"cluster", "group.conversation", "group.user",
                                                   "group.template", "group.source"};
  if (suite.cluster_by.empty()) suite.cluster_by = "cluster";
  if (!kClusterBy.count(suite.cluster_by)) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 absl::StrCat("suite_version.cluster_by: '", suite.cluster_by, "' is unknown"));
  }
  std::set<std::string> clusters, digests;
  nlohmann::json row_digests = nlohmann::json::array();
  for (SuiteRow& row : rows) {
    if (row.row_digest.empty()) {
      ASSIGN_OR_RETURN(row.row_digest, DigestOfRow(row));
    }
    // Equal rows would share one answer: they add nothing and would count twice.
    if (!digests.insert(row.row_digest).second) {
      return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                   absl::StrCat("row ", row.row_digest, " is there twice"));
    }
    if (row.cluster.empty()) row.cluster = row.row_digest;
    clusters.insert(row.cluster);
    row_digests.push_back({row.row_digest, row.cluster});
  }
  ASSIGN_OR_RETURN(suite.digest, CanonicalDigest({{"format", "crossover.suite.v1"},
                                                  {"rows", row_digests},
                                                  {"graders", suite.graders},
                                                  {"slices", suite.slices},
                                                  {"cluster_by", suite.cluster_by},
                                                  {"role", Name(suite.role)},
                                                  {"task", suite.task}}));
  suite.row_count = static_cast<int64_t>(rows.size());
  suite.cluster_count = static_cast<int64_t>(clusters.size());
  suite.power = ComputePower(suite.cluster_count);
  suite.name = absl::StrCat(suite.project, "/suites/", suite.slug, "/versions/", suite.digest);
  return suite;
}

absl::StatusOr<SuiteRow> ToSuiteRow(const dataset::Row& row, const std::string& cluster_by) {
  SuiteRow out;
  ASSIGN_OR_RETURN(out.row_digest, dataset::RowDigest(row));
  out.messages = dataset::MessagesToJson(dataset::InputOf(row));
  out.expected = dataset::AnswerText(row);
  out.cluster = ClusterOf(row, cluster_by);
  out.attributes["split"] = row.split;
  if (!row.language.empty()) out.attributes["language"] = row.language;
  if (!row.group.source.empty()) out.attributes["group.source"] = row.group.source;
  nlohmann::json answer = nlohmann::json::parse(out.expected, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return out;
  for (const auto& [key, value] : answer.items()) {
    out.attributes["fields." + key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return out;
}

std::vector<dataset::Row> Draw(std::vector<dataset::Row> rows, int64_t max_rows, int64_t seed) {
  if (max_rows <= 0 || max_rows >= static_cast<int64_t>(rows.size())) return rows;
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  stats::Random random(static_cast<uint64_t>(seed));
  for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  order.resize(static_cast<size_t>(max_rows));
  std::sort(order.begin(), order.end());
  std::vector<dataset::Row> drawn;
  for (size_t at : order) drawn.push_back(std::move(rows[at]));
  return drawn;
}

Power ComputePower(int64_t rows) {
  Power power;
  power.discordance = kAssumedDiscordance;
  power.detectable_difference = stats::DetectableDifference(rows, kAssumedDiscordance);
  for (double delta : {0.02, 0.03, 0.05, 0.08}) {
    power.rows_needed[absl::StrFormat("%.2f", delta)] =
        stats::PairedSampleSize(delta, kAssumedDiscordance);
  }
  return power;
}

std::vector<std::string> SlicesOf(const std::vector<Slice>& slices, const SuiteRow& row) {
  auto value_of = [&row](const std::string& key) -> std::optional<std::string> {
    auto found = row.attributes.find(key.rfind("attributes.", 0) == 0 ? key.substr(11) : key);
    if (found == row.attributes.end())
      found = row.attributes.find("fields." + key);  // `section` for `fields.section`
    if (found == row.attributes.end()) return std::nullopt;
    return found->second;
  };
  std::vector<std::string> names;
  for (const Slice& slice : slices) {
    if (!slice.by_field.empty()) {
      if (auto value = value_of(slice.by_field)) {
        names.push_back(
            absl::StrCat(slice.name.empty() ? slice.by_field : slice.name, "=", *value));
      }
      continue;
    }
    absl::StatusOr<list::Filter> filter =
        list::ParseFilter(slice.filter, kAttributes);  // checked by Freeze
    if (filter.ok() && list::Matches(*filter, value_of)) names.push_back(slice.name);
  }
  return names;
}

}  // namespace crossover::evaluation
