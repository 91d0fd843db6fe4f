#include "services/registry/domain/resource.h"

#include "absl/strings/str_cat.h"

namespace crossover::registry {

std::string_view Name(Kind kind) {
  switch (kind) {
    case Kind::kProject:
      return "project";
    case Kind::kTask:
      return "task";
    case Kind::kPrompt:
      return "prompt";
    case Kind::kUpstream:
      return "upstream";
    case Kind::kCollection:
      return "collection";
  }
  return "";
}

std::string Describe(const ResourceKey& key) {
  const std::string kind(Name(key.kind));
  if (key.kind == Kind::kProject) return absl::StrCat("project projects/", key.project);
  const std::string task = key.parent.empty() ? "" : absl::StrCat("/tasks/", key.parent);
  return absl::StrCat(kind, " projects/", key.project, task, "/", kind, "s/", key.id);
}

}  // namespace crossover::registry
