// Answers graded, row by row: what results and comparisons are computed from.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/grader.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

struct ScoredAnswer {
  Answer answer;
  std::vector<Grade>
      grades;  // in the order of the suite's graders; an answer with an error scores 0 by all
  std::optional<bool>
      raw_valid;  // right format as it came; absent where the suite asks for no format
  std::optional<bool> unfenced_valid;
};

// A row with at least one answer of the system; answers in order of repeat.
struct ScoredRow {
  SuiteRow row;
  std::vector<std::string> slices;
  std::vector<ScoredAnswer> answers;

  double MeanScore(size_t grader) const;
  // Share of the answers that pass.
  double PassShare(size_t grader, double pass_score) const;
};

struct ScoredSystem {
  System system;
  std::vector<ScoredRow> rows;  // in the suite's order
};

// Grades the answers that belong to `system`. Thread-safe.
class Scorer {
 public:
  static absl::StatusOr<Scorer> Create(const Suite& suite);

  ScoredAnswer Score(const SuiteRow& row, Answer answer) const;
  ScoredSystem Score(const System& system, const std::vector<SuiteRow>& rows,
                     const std::vector<Answer>& answers) const;

 private:
  std::vector<Slice> slices_;
  std::vector<std::unique_ptr<Grader>> graders_;
};

}  // namespace crossover::evaluation
