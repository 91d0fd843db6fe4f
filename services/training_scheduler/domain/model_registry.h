// The decisions behind ModelService: what may become a model, and by which name.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "services/training_scheduler/domain/model_files.h"
#include "services/training_scheduler/domain/model_store.h"
#include "services/training_scheduler/domain/request_key.h"

namespace crossover::scheduler {

struct ImportRequest {
  std::string project;
  std::string model;  // slug
  // One of the four.
  std::filesystem::path gguf_path;
  std::filesystem::path folder_path;  // Hugging Face's
  std::string package;
  std::filesystem::path adapter_path;  // PEFT's
  std::string base_model;              // of an adapter; empty: as its adapter_config.json says
  std::string licence;
  bool validate_only = false;
  RequestKey key;  // not used with validate_only
};

// Thread-safe. Borrows everything.
class ModelRegistry {
 public:
  // `package_folders`: where installed packages that hold models lie (`<folder>/<package>/*.gguf`).
  ModelRegistry(ModelStore& store, BlobStore& blobs, ModelFiles& files,
                std::vector<std::filesystem::path> package_folders)
      : store_(store), blobs_(blobs), files_(files), package_folders_(std::move(package_folders)) {}

  // Checks the file or folder, copies it into the blob store and registers it as a BASE, or as an
  // ADAPTER as if it had been trained here. A folder becomes an artifact of the files that are the
  // model. Idempotent: equal bytes are one version, and a repeat with the same key gives what the
  // first call registered whatever has become of the files. Interrupted, it leaves blobs that
  // nothing refers to. NOT_FOUND names the path; other errors are those of ModelFiles, for adapters
  // also FIELD_REQUIRED, BASE_MODEL_UNKNOWN and FAILED_PRECONDITION ADAPTER_BASE_MISMATCH, and for
  // a slug that has versions of another kind FAILED_PRECONDITION RESOURCE_IN_USE.
  absl::StatusOr<ModelVersion> Import(const ImportRequest& request);

  // Removes the version and takes away what kept its bytes: the import's pin and, with the last
  // version of these bytes, their job's.
  absl::Status Delete(const std::string& project, const std::string& model,
                      const std::string& digest);

 private:
  // Looked at and ready to be stored; `store` copies it in and gives the digest.
  struct Found {
    ModelVersion version;
    std::function<absl::StatusOr<std::string>()> store;
  };

  absl::StatusOr<std::filesystem::path> FileOf(const ImportRequest& request) const;
  absl::StatusOr<Found> Find(const ImportRequest& request);
  absl::StatusOr<Found> FindFile(const std::filesystem::path& path);
  absl::StatusOr<Found> FindFolder(const std::filesystem::path& folder);
  absl::StatusOr<Found> FindAdapter(const ImportRequest& request);
  absl::StatusOr<ModelVersion> BaseOf(const ImportRequest& request);
  absl::StatusOr<std::string> StoreAdapter(const std::filesystem::path& folder,
                                           const AdapterFolder& adapter);
  absl::Status TakeOrigin(ModelVersion& version);
  absl::Status CheckKind(const std::string& project, const std::string& model, ModelKind kind);

  ModelStore& store_;
  BlobStore& blobs_;
  ModelFiles& files_;
  const std::vector<std::filesystem::path> package_folders_;
};

}  // namespace crossover::scheduler
