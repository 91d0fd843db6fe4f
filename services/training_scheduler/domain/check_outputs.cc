#include "services/training_scheduler/domain/check_outputs.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::scheduler {
namespace {

absl::Status CheckKinds(BlobStore& blobs, const std::string& field, const std::string& digest,
                        const std::vector<std::string>& kinds) {
  if (digest.empty()) return absl::OkStatus();
  const absl::StatusOr<Manifest> made = blobs.ReadManifest(digest);
  if (!made.ok() || std::find(kinds.begin(), kinds.end(), made->kind) != kinds.end()) {
    return absl::OkStatus();
  }
  const std::string wrong = absl::StrCat("is ", digest, ", an artifact of kind '", made->kind,
                                         "'; must be of kind ", absl::StrJoin(kinds, " or "));
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, " ", wrong),
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{field, wrong}}});
}

}  // namespace

absl::Status CheckOutputs(BlobStore& blobs, const Outputs& outputs) {
  RETURN_IF_ERROR(CheckKinds(blobs, "success.adapter", outputs.adapter_digest, {"adapter"}));
  return CheckKinds(blobs, "success.artifact", outputs.artifact_digest, {"export", "adapter"});
}

}  // namespace crossover::scheduler
