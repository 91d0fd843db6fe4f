#include "services/registry/transport/names.h"

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::registry {

absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, list::ParseName(name, pattern, field));
  const std::string& own = RequestContext::Current().project;
  if (own.empty() || own == absl::StrCat("projects/", parts[0])) return parts;
  return Error(absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
               absl::StrCat("this key belongs to ", own, " and may not use projects/", parts[0]));
}

std::string NameOf(const ResourceKey& key) {
  const std::string project = absl::StrCat("projects/", key.project);
  switch (key.kind) {
    case Kind::kProject:
      return project;
    case Kind::kTask:
      return absl::StrCat(project, "/tasks/", key.id);
    case Kind::kPrompt:
      return absl::StrCat(project, "/tasks/", key.parent, "/prompts/", key.id);
    case Kind::kUpstream:
      return absl::StrCat(project, "/upstreams/", key.id);
    case Kind::kCollection:
      return absl::StrCat(project, "/collections/", key.id);
  }
  return project;
}

std::string VersionNameOf(const PromptKey& prompt, const std::string& digest) {
  return absl::StrCat(NameOf({Kind::kPrompt, prompt.project, prompt.task, prompt.prompt}),
                      "/versions/", digest);
}

absl::StatusOr<ResourceKey> ParseKey(Kind kind, std::string_view name, std::string_view field) {
  if (kind == Kind::kPrompt) {
    ASSIGN_OR_RETURN(const auto parts, ParseScoped(name, "projects/*/tasks/*/prompts/*", field));
    return ResourceKey{kind, parts[0], parts[1], parts[2]};
  }
  if (kind == Kind::kProject) {
    ASSIGN_OR_RETURN(const auto parts, ParseScoped(name, "projects/*", field));
    return ResourceKey{kind, parts[0], "", ""};
  }
  const std::string pattern = absl::StrCat("projects/*/", std::string(Name(kind)), "s/*");
  ASSIGN_OR_RETURN(const auto parts, ParseScoped(name, pattern, field));
  return ResourceKey{kind, parts[0], "", parts[1]};
}

absl::StatusOr<PromptKey> ParsePromptKey(std::string_view name, std::string_view field) {
  ASSIGN_OR_RETURN(const ResourceKey key, ParseKey(Kind::kPrompt, name, field));
  return PromptKey{key.project, key.parent, key.id};
}

absl::StatusOr<VersionName> ParseVersionName(std::string_view name, std::string_view field) {
  ASSIGN_OR_RETURN(const auto parts,
                   ParseScoped(name, "projects/*/tasks/*/prompts/*/versions/*", field));
  return VersionName{{parts[0], parts[1], parts[2]}, parts[3]};
}

absl::Status CheckLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  bool fits = labels.size() <= 16;
  for (const auto& [key, value] : labels)
    fits = fits && !key.empty() && key.size() <= 64 && value.size() <= 512;
  if (fits) return absl::OkStatus();
  return FieldInvalid("labels", "at most 16, keys to 64 and values to 512 characters");
}

absl::Status FieldInvalid(const std::string& field, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", what),
               {.reason = "FIELD_INVALID", .violations = {{field, what}}});
}

absl::Status FieldRequired(const std::string& field) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " is missing"),
               {.reason = "FIELD_REQUIRED", .violations = {{field, "is missing"}}});
}

absl::Status NotImplemented(std::string_view what, std::string_view instead) {
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat(ToAbsl(what), " is not served yet: ", ToAbsl(instead)));
}

}  // namespace crossover::registry
