// Names of the registry's resources, checked against the project the caller may use.
#pragma once

#include <google/protobuf/map.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/registry/domain/prompt_version.h"
#include "services/registry/domain/resource.h"

namespace crossover::registry {

// list::ParseName, and PermissionDenied RESOURCE_FORBIDDEN if the calling key belongs to another
// project. The first segment is the project.
absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field);

// `projects/p`, `projects/p/tasks/t/prompts/x`, ….
std::string NameOf(const ResourceKey& key);
std::string VersionNameOf(const PromptKey& prompt, const std::string& digest);

// The key of a resource of this kind, from its name.
absl::StatusOr<ResourceKey> ParseKey(Kind kind, std::string_view name, std::string_view field);
absl::StatusOr<PromptKey> ParsePromptKey(std::string_view name, std::string_view field);

// A version's prompt and digest.
struct VersionName {
  PromptKey prompt;
  std::string digest;
};
absl::StatusOr<VersionName> ParseVersionName(std::string_view name, std::string_view field);

// InvalidArgument FIELD_INVALID for more than 16 labels, keys over 64 or values over 512 bytes.
absl::Status CheckLabels(const google::protobuf::Map<std::string, std::string>& labels);

absl::Status FieldInvalid(const std::string& field, const std::string& what);
absl::Status FieldRequired(const std::string& field);
// A method that the interface has and this binary does not serve yet. `instead` says what to do.
absl::Status NotImplemented(std::string_view what, std::string_view instead);

}  // namespace crossover::registry
