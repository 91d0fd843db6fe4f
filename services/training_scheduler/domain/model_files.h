// What the files of a model are, read from their own metadata. The real one uses llm/formats; see
// transport-free room model_files.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/training_scheduler/domain/model.h"

namespace crossover::scheduler {

// Of versions, files fill kind, architecture, parameters, hidden_size, context_length, tokenizer
// and template digests.

struct ModelFolder {
  ModelVersion version;            // without bytes
  std::vector<std::string> files;  // names in the folder that make up the model
};

// An adapter's folder as it is stored: like one that was trained here.
struct AdapterFolder {
  std::string config;   // adapter_config.json, naming its base by digest
  std::string tensors;  // name in the folder of the other file
};

// Thread-safe. Errors name file and key or tensor: NOT_FOUND FILE_MISSING, INVALID_ARGUMENT
// FORMAT_INVALID (wrong magic, truncation, unknown types), UNIMPLEMENTED MODEL_UNSUPPORTED
// (architectures, pickles, what changes an adapter's mathematics).
class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  // A GGUF file; fills bytes, too.
  virtual absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) = 0;
  // A Hugging Face folder with all its weights, and a template that can be run.
  virtual absl::StatusOr<ModelFolder> InspectFolder(const std::filesystem::path& folder) = 0;
  // What a PEFT folder calls its base: a name, a path or a digest; "" if it does not say.
  virtual absl::StatusOr<std::string> BaseOfAdapter(const std::filesystem::path& folder) = 0;
  // A PEFT folder for the base in this file or folder, which has this digest. INVALID_ARGUMENT
  // ADAPTER_MISMATCH names the layer that the base does not have or whose shape differs.
  virtual absl::StatusOr<AdapterFolder> InspectAdapter(const std::filesystem::path& folder,
                                                       const std::filesystem::path& base,
                                                       const std::string& base_digest) = 0;
};

// For tests: what is in the maps, by path, is what the files say.
class FakeModelFiles final : public ModelFiles {
 public:
  absl::StatusOr<ModelVersion> Inspect(const std::filesystem::path& path) override {
    return Find(files, path);
  }
  absl::StatusOr<ModelFolder> InspectFolder(const std::filesystem::path& folder) override {
    return Find(folders, folder);
  }
  absl::StatusOr<std::string> BaseOfAdapter(const std::filesystem::path& folder) override {
    return Find(bases, folder);
  }
  absl::StatusOr<AdapterFolder> InspectAdapter(const std::filesystem::path& folder,
                                               const std::filesystem::path& base,
                                               const std::string& base_digest) override {
    const absl::StatusOr<std::string> known = Find(bases, folder);
    if (!known.ok()) return known.status();
    seen_base = base;
    if (!misfit.ok()) return misfit;
    return AdapterFolder{.config = "{\"base\":\"" + base_digest + "\"}", .tensors = "tensors"};
  }

  std::map<std::string, ModelVersion> files;
  std::map<std::string, ModelFolder> folders;
  std::map<std::string, std::string> bases;  // of adapters
  absl::Status misfit;                       // of every adapter
  std::filesystem::path seen_base;           // that an adapter was compared with

 private:
  template <typename T>
  static absl::StatusOr<T> Find(const std::map<std::string, T>& known,
                                const std::filesystem::path& path) {
    const auto found = known.find(path.string());
    if (found == known.end()) return absl::NotFoundError("no file " + path.string());
    return found->second;
  }
};

}  // namespace crossover::scheduler
