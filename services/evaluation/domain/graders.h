// The makers behind MakeGrader, one per file.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "services/evaluation/domain/grader.h"

namespace crossover::evaluation {

absl::StatusOr<std::unique_ptr<Grader>> MakeTextGrader(const GraderSpec& spec);
absl::StatusOr<std::unique_ptr<Grader>> MakeRegexGrader(const GraderSpec& spec);
absl::StatusOr<std::unique_ptr<Grader>> MakeJsonGrader(const GraderSpec& spec);
absl::StatusOr<std::unique_ptr<Grader>> MakeSchemaGrader(const GraderSpec& spec);

}  // namespace crossover::evaluation
