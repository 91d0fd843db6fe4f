#include "services/training_scheduler/domain/model_registry.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/names.h"

namespace crossover::scheduler {
namespace {

std::string Holder(const ModelVersion& version) {
  return absl::StrCat("scheduler/model/", version.project, "/", version.model);
}

}  // namespace

absl::StatusOr<std::filesystem::path> ModelRegistry::FileOf(const ImportRequest& request) const {
  if (request.package.empty()) return request.gguf_path;
  if (!std::all_of(request.package.begin(), request.package.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
      })) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 absl::StrCat("package '", request.package, "' is not a package's name"));
  }
  for (const std::filesystem::path& folder : package_folders_) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder / request.package, error)) {
      if (entry.path().extension() == ".gguf") return entry.path();
    }
  }
  return Error(
      absl::StatusCode::kNotFound, "DEPENDENCY_MISSING",
      absl::StrCat("package '", request.package, "' with a .gguf file is not installed in ",
                   absl::StrJoin(package_folders_, ", ",
                                 [](std::string* out, const std::filesystem::path& path) {
                                   out->append(path.string());
                                 }),
                   "; run ./dev setup, or give gguf_path"));
}

absl::StatusOr<ModelVersion> ModelRegistry::Import(const ImportRequest& request) {
  if (!IsSlug(request.model)) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                 absl::StrCat("model_id is '", request.model,
                              "'; must be lower-case letters, digits and dashes, at most 63, "
                              "starting with a letter"));
  }
  if (!request.validate_only && !request.key.id.empty()) {
    ASSIGN_OR_RETURN(std::optional<ModelVersion> known,
                     store_.FindRegistered(request.project, request.key));
    if (known.has_value()) return *std::move(known);
  }
  ASSIGN_OR_RETURN(std::filesystem::path path, FileOf(request));
  ASSIGN_OR_RETURN(ModelVersion version, files_.Inspect(path));
  version.project = request.project;
  version.model = request.model;
  version.alias = request.model;
  version.licence = request.licence;
  if (request.validate_only) return version;
  ASSIGN_OR_RETURN(version.digest, blobs_.PutFile(path));
  RETURN_IF_ERROR(blobs_.Pin(version.digest, Holder(version)));
  return store_.Register(version, request.key);
}

absl::Status ModelRegistry::Delete(const std::string& project, const std::string& model,
                                   const std::string& digest) {
  ASSIGN_OR_RETURN(ModelVersion version, store_.GetVersion(project, model, digest));
  RETURN_IF_ERROR(store_.DeleteVersion(project, version.model, version.digest));
  if (!version.source_job.empty()) {
    // A worker pins what its job makes under the job's name.
    RETURN_IF_ERROR(
        blobs_.Unpin(version.digest, FormatJobName(version.project, version.source_job)));
  }
  return blobs_.Unpin(version.digest, Holder(version));
}

}  // namespace crossover::scheduler
