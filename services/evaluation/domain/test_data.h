// Small suites and systems for the tests of this room.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/evaluation/domain/fakes.h"
#include "services/evaluation/domain/suite.h"
#include "services/evaluation/domain/suites.h"

namespace crossover::evaluation {

// `count` rows "question i" -> {"label":"a|b","n":i % 3}; labels alternate.
inline std::vector<SuiteRow> TestRows(int count) {
  std::vector<SuiteRow> rows;
  for (int i = 0; i < count; ++i) {
    std::string label = i % 2 ? "b" : "a";
    rows.push_back(
        {.messages = absl::StrCat("[{\"role\":\"user\",\"content\":\"question ", i, "\"}]"),
         .expected = absl::StrCat("{\"label\":\"", label, "\",\"n\":", i % 3, "}"),
         .attributes = {{"fields.label", label}}});
  }
  return rows;
}

inline Suite TestSuite(SuiteRole role = SuiteRole::kDev) {
  return {.project = "projects/default",
          .slug = "s",
          .task = "projects/default/tasks/t",
          .graders = {{.name = "fields", .kind = GraderKind::kJsonFields, .all = true}},
          .slices = {{.name = "label", .by_field = "fields.label"}},
          .role = role};
}

inline System TestSystem(const std::string& model) {
  return {.kind = ModelKind::kBase, .model = model, .display_name = model};
}

// "good" answers right; "bad" answers {} ; "half" is right on even repeats and rows of label a.
inline absl::StatusOr<Reply> TestAnswer(const System& system, const SuiteRow& row, int repeat) {
  bool right =
      system.model == "good" ||
      (system.model == "half" && (row.attributes.at("fields.label") == "a" || repeat % 2 == 1));
  return Reply{.output = right ? row.expected : "{}",
               .finish_reason = "stop",
               .usage = {.input = system.model == "good" ? 10 : 1000, .output = 5},
               .latency_seconds = system.model == "good" ? 0.1 : 0.5,
               .first_token_seconds = 0.05};
}

}  // namespace crossover::evaluation
