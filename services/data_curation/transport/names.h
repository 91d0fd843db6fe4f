// Names of curation's resources, checked against the project the caller may use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::curation {

// list::ParseName, and PermissionDenied RESOURCE_FORBIDDEN if the calling key belongs to another
// project. The first segment is the project.
absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field);

inline constexpr char kProjectPattern[] = "projects/*";
inline constexpr char kFilePattern[] = "projects/*/files/*";
inline constexpr char kDatasetPattern[] = "projects/*/datasets/*";
inline constexpr char kRunPattern[] = "projects/*/datasets/*/runs/*";
inline constexpr char kVersionPattern[] = "projects/*/datasets/*/versions/*";

std::string FileName(const std::string& project, const std::string& id);
std::string DatasetName(const std::string& project, const std::string& id);
std::string RunName(const std::string& project, const std::string& dataset, const std::string& id);
std::string VersionName(const std::string& project, const std::string& dataset,
                        const std::string& digest);

// A method that the interface has and this binary does not serve yet. `instead` says what to do.
absl::Status NotImplemented(std::string_view what, std::string_view instead);

}  // namespace crossover::curation
