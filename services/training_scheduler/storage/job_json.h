// The parts of a job that Postgres keeps as JSON, as text and back. Absent fields stay absent;
// unknown keys are ignored, so that an older scheduler can read what a newer one wrote.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

using StringMap = std::map<std::string, std::string>;
using NumberMap = std::map<std::string, double>;

std::string StringsToJson(const StringMap& values);
std::string NumbersToJson(const NumberMap& values);
std::string SpecToJson(const JobSpec& spec);
// Of a lease that several workers share; "" for none.
std::string GangToJson(const std::vector<GangMember>& gang);
absl::Status GangFromJson(std::string_view text, std::vector<GangMember>& gang);
std::string PlanToJson(const Job& job);  // resolved, inputs, estimate
// Progress, actual, outputs, error, log tail; of a job with a lease its holder's usage too.
std::string ReportToJson(const Job& job);

// INTERNAL if the text is not what the functions above write.
absl::Status StringsFromJson(std::string_view text, StringMap& values);
absl::Status NumbersFromJson(std::string_view text, NumberMap& values);
absl::Status SpecFromJson(std::string_view text, JobSpec& spec);
absl::Status PlanFromJson(std::string_view text, Job& job);
// Of a job whose lease, if it has one, has been read.
absl::Status ReportFromJson(std::string_view text, Job& job);

}  // namespace crossover::scheduler
