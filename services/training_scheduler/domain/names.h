// Resource names of this service and their parts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::scheduler {

// True if `text` is [a-z]([a-z0-9-]{0,61}[a-z0-9])?.
bool IsSlug(std::string_view text);

// list::ParseName for a pattern that starts with projects/*, and PERMISSION_DENIED
// RESOURCE_FORBIDDEN if the calling key belongs to another project. All parsers below go through
// it.
absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field);

// Project the calling key is bound to; empty = all.
std::string CallersProject();

// True unless `name` is the name of something in another project than `project`.
bool IsOfProject(std::string_view project, std::string_view name);

// "projects/p" → "p". INVALID_ARGUMENT FIELD_INVALID names `field`.
absl::StatusOr<std::string> ParseProject(std::string_view field, std::string_view name);

struct JobName {
  std::string project;
  std::string job;  // id
};
// "projects/p/jobs/id". NOT_FOUND-shaped ids are INVALID_ARGUMENT too: a typo is told at once.
absl::StatusOr<JobName> ParseJobName(std::string_view field, std::string_view name);
std::string FormatJobName(std::string_view project, std::string_view job);

struct ModelName {
  std::string project;
  std::string model;    // slug
  std::string version;  // digest or alias; empty for a model
};
// "projects/p/models/m" or "projects/p/models/m/versions/v".
absl::StatusOr<ModelName> ParseModelName(std::string_view field, std::string_view name);
std::string FormatModelName(const ModelName& name);

// "workers/w" → "w"; a bare "w" is taken too.
std::string ParseWorker(std::string_view name);

}  // namespace crossover::scheduler
