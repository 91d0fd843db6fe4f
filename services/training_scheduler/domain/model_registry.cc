#include "services/training_scheduler/domain/model_registry.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/find_version.h"
#include "services/training_scheduler/domain/model_errors.h"
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
                   "; run ./dev setup, or give gguf_path or folder_path"));
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
  ASSIGN_OR_RETURN(const Found found, Find(request));
  ModelVersion version = found.version;
  RETURN_IF_ERROR(CheckKind(request.project, request.model, version.kind));
  version.project = request.project;
  version.model = request.model;
  version.alias = request.model;
  if (!request.licence.empty()) version.licence = request.licence;
  if (request.validate_only) return version;
  ASSIGN_OR_RETURN(version.digest, found.store());
  if (version.bytes == 0) {
    ASSIGN_OR_RETURN(const Manifest manifest, blobs_.ReadManifest(version.digest));
    version.bytes = manifest.TotalSize();
  }
  RETURN_IF_ERROR(TakeOrigin(version));
  RETURN_IF_ERROR(blobs_.Pin(version.digest, Holder(version)));
  return store_.Register(version, request.key);
}

absl::StatusOr<ModelRegistry::Found> ModelRegistry::Find(const ImportRequest& request) {
  if (!request.adapter_path.empty()) return FindAdapter(request);
  if (!request.folder_path.empty()) return FindFolder(request.folder_path);
  ASSIGN_OR_RETURN(const std::filesystem::path path, FileOf(request));
  return FindFile(path);
}

absl::StatusOr<ModelRegistry::Found> ModelRegistry::FindFile(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(ModelVersion version, files_.Inspect(path));
  return Found{std::move(version), [this, path] { return blobs_.PutFile(path); }};
}

absl::StatusOr<ModelRegistry::Found> ModelRegistry::FindFolder(
    const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(ModelFolder found, files_.InspectFolder(folder));
  return Found{std::move(found.version), [this, folder, files = std::move(found.files)] {
                 return blobs_.PutFiles("model", folder, files);
               }};
}

absl::StatusOr<ModelVersion> ModelRegistry::BaseOf(const ImportRequest& request) {
  ASSIGN_OR_RETURN(const std::string named, files_.BaseOfAdapter(request.adapter_path));
  const bool by_digest = IsDigest(named);
  if (request.base_model.empty() && !by_digest) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 absl::StrCat("base_model is required: ", request.adapter_path.string(), " names '",
                              named, "', which is not the digest of a base model"));
  }
  const std::string& wanted = request.base_model.empty() ? named : request.base_model;
  absl::StatusOr<ModelVersion> base = FindVersion(store_, request.project, wanted);
  if (absl::IsNotFound(base.status()) || (base.ok() && base->kind != ModelKind::kBase)) {
    return Error(absl::StatusCode::kInvalidArgument, "BASE_MODEL_UNKNOWN",
                 absl::StrCat("base_model is '", wanted,
                              "', which is not a base model here; import it first"));
  }
  RETURN_IF_ERROR(base.status());
  if (by_digest && named != base->digest) {
    return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_BASE_MISMATCH",
                 absl::StrCat(request.adapter_path.string(), " was trained on base ", named,
                              ", not on ", wanted, " (", base->digest, ")"));
  }
  return base;
}

absl::StatusOr<ModelRegistry::Found> ModelRegistry::FindAdapter(const ImportRequest& request) {
  ASSIGN_OR_RETURN(const ModelVersion base, BaseOf(request));
  ASSIGN_OR_RETURN(const std::filesystem::path base_files, blobs_.LocalTree(base.digest));
  ASSIGN_OR_RETURN(AdapterFolder adapter,
                   files_.InspectAdapter(request.adapter_path, base_files, base.digest));
  ModelVersion version;
  version.kind = ModelKind::kAdapter;
  version.architecture = base.architecture;
  version.base_digest = base.digest;
  version.tokenizer_digest = base.tokenizer_digest;
  version.template_digest = base.template_digest;
  version.licence = base.licence;  // as one trained here has
  return Found{std::move(version),
               [this, folder = request.adapter_path, adapter = std::move(adapter)] {
                 return StoreAdapter(folder, adapter);
               }};
}

absl::StatusOr<std::string> ModelRegistry::StoreAdapter(const std::filesystem::path& folder,
                                                        const AdapterFolder& adapter) {
  Manifest manifest{.kind = "adapter"};
  ASSIGN_OR_RETURN(const std::string config, blobs_.PutBytes(adapter.config));
  manifest.files.push_back(
      {"adapter_config.json", static_cast<int64_t>(adapter.config.size()), config});
  ASSIGN_OR_RETURN(const std::string tensors, blobs_.PutFile(folder / adapter.tensors));
  ASSIGN_OR_RETURN(const int64_t size, blobs_.SizeOf(tensors));
  manifest.files.push_back({adapter.tensors, size, tensors});
  return blobs_.PutManifest(manifest);
}

// What a job made here is that job's, also when it comes back from an export.
absl::Status ModelRegistry::TakeOrigin(ModelVersion& version) {
  const absl::StatusOr<ModelVersion> known = store_.GetVersion(version.project, "", version.digest);
  if (absl::IsNotFound(known.status())) return absl::OkStatus();
  RETURN_IF_ERROR(known.status());
  version.source_job = known->source_job;
  version.dataset_version = known->dataset_version;
  version.task = known->task;
  return absl::OkStatus();
}

// The store says it again, when nobody can come between: this is before bytes are copied.
absl::Status ModelRegistry::CheckKind(const std::string& project, const std::string& model,
                                      ModelKind kind) {
  const absl::StatusOr<Model> known = store_.GetModel(project, model);
  if (absl::IsNotFound(known.status())) return absl::OkStatus();
  RETURN_IF_ERROR(known.status());
  return known->kind == kind ? absl::OkStatus() : KindTaken(model, known->kind, kind);
}

absl::Status ModelRegistry::Delete(const std::string& project, const std::string& model,
                                   const std::string& digest) {
  ASSIGN_OR_RETURN(ModelVersion version, store_.GetVersion(project, model, digest));
  RETURN_IF_ERROR(store_.DeleteVersion(project, version.model, version.digest));
  if (!version.source_job.empty()) {
    const absl::Status other = store_.GetVersion(project, "", version.digest).status();
    if (!other.ok() && !absl::IsNotFound(other)) return other;
    // A worker pins what its job makes under the job's name. The bytes may be another model's, too.
    if (!other.ok()) {
      RETURN_IF_ERROR(
          blobs_.Unpin(version.digest, FormatJobName(version.project, version.source_job)));
    }
  }
  return blobs_.Unpin(version.digest, Holder(version));
}

}  // namespace crossover::scheduler
