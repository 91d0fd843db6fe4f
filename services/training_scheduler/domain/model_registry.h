// The decisions behind ModelService: what may become a model, and by which name.
#pragma once

#include <filesystem>
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
  // One of the two.
  std::filesystem::path gguf_path;
  std::string package;
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

  // Checks the file, copies it into the blob store and registers it as a BASE. Idempotent: equal
  // bytes are one version, and a repeat with the same key gives what the first call registered
  // whatever has become of the file. NOT_FOUND names the path; INVALID_ARGUMENT FORMAT_INVALID says
  // what is wrong with the file.
  absl::StatusOr<ModelVersion> Import(const ImportRequest& request);

  // Removes the version and takes away what kept its bytes: the import's pin and its job's.
  absl::Status Delete(const std::string& project, const std::string& model,
                      const std::string& digest);

 private:
  absl::StatusOr<std::filesystem::path> FileOf(const ImportRequest& request) const;

  ModelStore& store_;
  BlobStore& blobs_;
  ModelFiles& files_;
  const std::vector<std::filesystem::path> package_folders_;
};

}  // namespace crossover::scheduler
