#include "services/evaluation/domain/grader.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/evaluation/domain/graders.h"

namespace crossover::evaluation {
namespace {

constexpr const char* kNames[] = {"exact",      "normalised",  "regex",       "choice",
                                  "json_valid", "json_schema", "json_fields", "numeric"};

}  // namespace

const char* Name(GraderKind kind) { return kNames[static_cast<int>(kind)]; }

absl::StatusOr<GraderKind> ParseGraderKind(const std::string& name) {
  std::string known;
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<GraderKind>(i);
    absl::StrAppend(&known, i == 0 ? "" : ", ", kNames[i]);
  }
  return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
               absl::StrCat("grader kind '", name, "' is unknown; known are: ", known));
}

absl::StatusOr<std::unique_ptr<Grader>> MakeGrader(const GraderSpec& spec) {
  if (spec.name.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID", "a grader needs a name");
  }
  switch (spec.kind) {
    case GraderKind::kExact:
    case GraderKind::kNormalised:
    case GraderKind::kChoice:
    case GraderKind::kNumeric:
      return MakeTextGrader(spec);
    case GraderKind::kRegex:
      return MakeRegexGrader(spec);
    case GraderKind::kJsonValid:
    case GraderKind::kJsonFields:
      return MakeJsonGrader(spec);
    case GraderKind::kJsonSchema:
      return MakeSchemaGrader(spec);
  }
  return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
               absl::StrCat("grader ", spec.name, " has no kind"));
}

}  // namespace crossover::evaluation
