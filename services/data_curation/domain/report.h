// What curation found and did, for people.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/data_curation/domain/pipeline.h"
#include "services/data_curation/domain/row_state.h"
#include "services/data_curation/domain/row_table.h"
#include "services/data_curation/domain/seal.h"

namespace crossover::curation {

struct Finding {
  std::string severity;  // "info", "warning", "error"
  std::string stage;
  std::string code;
  std::string message;
  int64_t rows = 0;
  std::vector<std::string> examples;  // row_digests, at most 5
};

struct LabelCount {
  std::string field;  // of the parsed answer; "" = the whole answer
  std::string label;
  std::map<std::string, int64_t> rows;  // per split
};

struct Report {
  std::vector<FunnelStep> funnel;
  std::vector<SplitCounts> counts;
  std::vector<Finding> findings;  // gravest first
  std::vector<LabelCount>
      label_counts;  // when answers, or fields of JSON answers, have at most 100 values
};

// From the rows of a finished run.
absl::StatusOr<Report> BuildReport(const RowTable& rows, const RowStates& states,
                                   std::vector<FunnelStep> funnel, std::vector<SplitCounts> counts);

std::string ReportToJson(const Report& report);
absl::StatusOr<Report> ReportFromJson(std::string_view json);

}  // namespace crossover::curation
