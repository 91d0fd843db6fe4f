#include "services/training_scheduler/domain/job_times.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace crossover::scheduler {
namespace {

std::string InWords(absl::Time time) { return absl::FormatTime(time, absl::UTCTimeZone()); }

}  // namespace

bool IsOfCalendar(absl::Time time) {
  static const absl::Time kBegin = absl::FromCivil(absl::CivilYear(1), absl::UTCTimeZone());
  static const absl::Time kEnd = absl::FromCivil(absl::CivilYear(10'000), absl::UTCTimeZone());
  return kBegin <= time && time < kEnd;
}

std::vector<FieldViolation> CheckTimes(const Job& job) {
  std::vector<FieldViolation> violations;
  const auto check = [&](const char* field, const std::optional<absl::Time>& time) {
    if (!time.has_value() || IsOfCalendar(*time)) return;
    violations.push_back(
        {field, absl::StrCat("is ", InWords(*time), "; must be of the years 1 to 9999")});
  };
  check("start_time", job.start_time);
  check("deadline", job.deadline);
  if (violations.empty() && job.start_time.has_value() && job.deadline.has_value() &&
      !job.run_time.has_value() && *job.deadline < *job.start_time) {
    violations.push_back(
        {"deadline", absl::StrCat("is ", InWords(*job.deadline), ", which is before start_time, ",
                                  InWords(*job.start_time))});
  }
  return violations;
}

}  // namespace crossover::scheduler
