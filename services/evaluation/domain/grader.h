// Turns an answer into a score.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crossover::evaluation {

enum class GraderKind {
  kExact,       // equal text, surrounding white space aside
  kNormalised,  // equal after case folding and collapsing of white space and punctuation
  kRegex,  // the whole answer matches `pattern`; or, with an empty pattern, the expected text taken
           // as a pattern
  kChoice,      // the one of `choices` that the answer names equals the expected one
  kJsonValid,   // parses as JSON; fields "raw" and "unfenced" tell a bare answer from one in a code
                // fence; the score is raw's
  kJsonSchema,  // matches `schema`; fields "raw" and "unfenced" likewise
  kJsonFields,  // share of `fields` that equal the expected answer's; each is a field of the result
  kNumeric,     // the last number of the answer lies within the tolerances of the expected one
};

struct GraderSpec {
  std::string name;  // unique in a suite
  GraderKind kind = GraderKind::kExact;
  std::string pattern;
  std::vector<std::string> choices;
  std::string schema;               // JSON Schema, as JSON text
  std::vector<std::string> fields;  // empty: every top-level key of the expected answer
  bool all = false;  // kJsonFields: 1 only if every field is right, instead of the share that is
  bool raw_only = false;  // kJsonFields: an answer in a code fence counts as wrong
  double absolute_tolerance = 0;
  double relative_tolerance = 0;
  double pass_score = 1;  // from here on an answer counts as right, for accuracy and McNemar
};

struct Grade {
  double score = 0;                      // in [0,1]
  std::map<std::string, double> fields;  // name -> score
  std::string note;                      // why not 1, for people; may be empty

  friend bool operator==(const Grade&, const Grade&) = default;
};

// Thread-safe once made.
class Grader {
 public:
  explicit Grader(GraderSpec spec) : spec_(std::move(spec)) {}
  virtual ~Grader() = default;

  // `expected` is the row's answer. Never fails: what cannot be read scores 0 with a note.
  virtual Grade Score(const std::string& expected, const std::string& answer) const = 0;

  const GraderSpec& spec() const { return spec_; }

 private:
  GraderSpec spec_;
};

// InvalidArgument GRADER_INVALID names the grader and the parameter (a pattern or schema that does
// not compile …).
absl::StatusOr<std::unique_ptr<Grader>> MakeGrader(const GraderSpec& spec);

// "exact", "json_fields" …, and back (InvalidArgument GRADER_INVALID lists the known names).
const char* Name(GraderKind kind);
absl::StatusOr<GraderKind> ParseGraderKind(const std::string& name);

// The text inside a Markdown code fence if the whole answer is one (```json … ```), else the
// answer; trimmed.
std::string Unfenced(const std::string& answer);

}  // namespace crossover::evaluation
