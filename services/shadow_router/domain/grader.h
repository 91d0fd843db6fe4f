// Grades: how wrong an answer is, from something outside the two answers.
//
// A loss is 0 (right) to 1 (wrong). Agreement between two models says nothing about which of them
// is right; grades do, and they alone decide an experiment in improvement mode.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/comparator.h"

namespace valijson {
class Schema;
}

namespace crossover::router {

enum class GradeSource { kLabel, kFeedback, kValidator, kJudge };
std::string_view ToString(GradeSource source);

struct Grade {
  GradeSource source = GradeSource::kLabel;
  std::string grader_version;  // Digest of what graded: comparator, schema. A change starts a new
                               // comparison.
  double primary_loss = 0;
  double candidate_loss = 0;
  absl::Time time;

  bool operator==(const Grade&) const = default;
};

// What a task's answers must look like.
struct OutputContract {
  std::vector<std::string> label_set;  // The whole content is one of these.
  std::string json_schema;             // Or: JSON that fits this schema.

  bool empty() const { return label_set.empty() && json_schema.empty(); }
  bool operator==(const OutputContract&) const = default;
};

// Checks answers against an output contract: JSON Schema draft 7, as evaluation does. Immutable,
// thread-safe, cheap to copy. Create refuses a schema that it can't use with INVALID_SCHEMA,
// instead of passing answers that it did not check.
class Validator {
 public:
  static absl::StatusOr<Validator> Create(const OutputContract& contract);

  // OK, or INVALID_ARGUMENT that says what does not fit and where.
  absl::Status Check(std::string_view content) const;

  const std::string& version() const { return version_; }

 private:
  Validator() = default;

  std::set<std::string> labels_;
  std::shared_ptr<const valijson::Schema> schema_;  // nullptr: none.
  bool matches_patterns_ = false;
  std::string version_;
};

// Loss of an answer against the right output: 0 if the comparator calls them equal, else 1. A
// failed call and an answer that was cut or filtered are wrong.
double LabelLoss(const ComparatorSpec& spec, const Answer& answer, std::string_view label);

// Digest of a comparator's settings: the grader version of label grades.
std::string ComparatorVersion(const ComparatorSpec& spec);

}  // namespace crossover::router
