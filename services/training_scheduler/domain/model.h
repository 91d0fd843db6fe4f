// Models known to the project: base models, adapters and what was exported from them. The bytes lie
// in the blob store; a version is named by the digest of its artifact, so equal bytes are one
// version.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace crossover::scheduler {

enum class ModelKind { kBase, kAdapter, kMerged, kGguf, kGgufAdapter };

std::string_view Name(ModelKind kind);
std::optional<ModelKind> ParseModelKind(std::string_view name);

struct ModelVersion {
  std::string project;
  std::string model;   // slug
  std::string digest;  // sha256:…
  ModelKind kind = ModelKind::kBase;
  std::string architecture;
  std::string base_digest;  // empty for a base
  std::string tokenizer_digest;
  std::string template_digest;
  int64_t parameters = 0;
  int64_t bytes = 0;
  int64_t hidden_size = 0;      // base only
  int64_t context_length = 0;   // base only
  std::string source_job;       // id, for what a job made
  std::string dataset_version;  // resource name: "which adapters saw this data"
  std::string task;             // resource name
  std::string licence;
  // What clients send as `model`: the slug of an import, ft:{base}:{project}:{suffix}:{id8}, or as
  // set. Unique within the project.
  std::string alias;
  int64_t ordinal = 0;  // order of registration, set by the store
  absl::Time create_time;
};

struct Model {
  std::string project;
  std::string model;  // slug
  std::string display_name;
  std::map<std::string, std::string> labels;
  ModelKind kind = ModelKind::kBase;  // of its first version
  std::string current_digest;         // newest version
  absl::Time create_time;
  absl::Time update_time;
};

}  // namespace crossover::scheduler
