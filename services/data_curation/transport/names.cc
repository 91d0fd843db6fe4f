#include "services/data_curation/transport/names.h"

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/list/resource_name.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {

absl::StatusOr<std::vector<std::string>> ParseScoped(std::string_view name,
                                                     std::string_view pattern,
                                                     std::string_view field) {
  ASSIGN_OR_RETURN(std::vector<std::string> parts, list::ParseName(name, pattern, field));
  const std::string& own = RequestContext::Current().project;
  if (own.empty() || own == absl::StrCat("projects/", parts[0])) return parts;
  return Error(absl::StatusCode::kPermissionDenied, "RESOURCE_FORBIDDEN",
               absl::StrCat("this key belongs to ", own, " and may not use projects/", parts[0]));
}

std::string FileName(const std::string& project, const std::string& id) {
  return absl::StrCat("projects/", project, "/files/", id);
}
std::string DatasetName(const std::string& project, const std::string& id) {
  return absl::StrCat("projects/", project, "/datasets/", id);
}
std::string RunName(const std::string& project, const std::string& dataset, const std::string& id) {
  return absl::StrCat(DatasetName(project, dataset), "/runs/", id);
}
std::string VersionName(const std::string& project, const std::string& dataset,
                        const std::string& digest) {
  return absl::StrCat(DatasetName(project, dataset), "/versions/", digest);
}

absl::Status NotImplemented(std::string_view what, std::string_view instead) {
  return Error(absl::StatusCode::kUnimplemented, "NOT_IMPLEMENTED",
               absl::StrCat(ToAbsl(what), " is not served yet: ", ToAbsl(instead)));
}

}  // namespace crossover::curation
