#include "services/training_scheduler/domain/labels.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace crossover::scheduler {

std::vector<FieldViolation> CheckLabels(const std::string& field,
                                        const std::map<std::string, std::string>& labels) {
  std::vector<FieldViolation> violations;
  size_t counted = 0;
  for (const auto& [key, value] : labels) counted += key.rfind(kReservedLabelPrefix, 0) != 0;
  if (counted > 16) {
    violations.push_back({field, absl::StrCat("has ", counted, " entries; at most 16")});
  }
  for (const auto& [key, value] : labels) {
    if (!key.empty() && key.size() <= 64 && value.size() <= 512) continue;
    violations.push_back({field, absl::StrCat("'", key.substr(0, 64),
                                              "': keys have 1 to 64 characters, values at most "
                                              "512")});
  }
  return violations;
}

absl::Status LabelsError(const std::string& field,
                         const std::map<std::string, std::string>& labels) {
  std::vector<FieldViolation> violations = CheckLabels(field, labels);
  if (violations.empty()) return absl::OkStatus();
  const std::string message = absl::StrCat(field, " ", violations[0].description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = std::move(violations)});
}

}  // namespace crossover::scheduler
