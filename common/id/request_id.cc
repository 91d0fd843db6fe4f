#include "common/id/request_id.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover {
namespace {

constexpr size_t kShownBytes = 64;

}  // namespace

absl::Status CheckRequestId(std::string_view request_id) {
  if (request_id.empty() || ParseUuid(request_id).ok()) return absl::OkStatus();
  const std::string what = absl::StrCat(
      "is '", absl::CHexEscape(std::string(request_id.substr(0, kShownBytes))),
      request_id.size() > kShownBytes ? "…" : "",
      "'; must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057: a new one for each request, "
      "and the same one to repeat it");
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("request_id ", what),
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{"request_id", what}}});
}

absl::Status RequestIdReused(std::string_view request_id, std::string_view made) {
  return Error(
      absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
      absl::StrCat("request_id ", ToAbsl(request_id), " was used before for another request",
                   made.empty() ? "" : absl::StrCat(", which made ", ToAbsl(made)),
                   "; use a new one for this request, or repeat the earlier request unchanged"));
}

}  // namespace crossover
