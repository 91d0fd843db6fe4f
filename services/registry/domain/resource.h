// What the registry keeps as documents: projects, tasks, prompts, upstreams, collections. The
// registry decides nothing by what a document says; it keeps it, versions it by revision and gives
// it to those who do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace crossover::registry {

enum class Kind { kProject, kTask, kPrompt, kUpstream, kCollection };
std::string_view Name(Kind kind);  // "project", "task", …

// A project's `project` is its own id and its `id` empty. `parent` is a prompt's task; "" for the
// others.
struct ResourceKey {
  Kind kind = Kind::kProject;
  std::string project;
  std::string parent;
  std::string id;

  bool operator==(const ResourceKey&) const = default;
};

struct Resource {
  ResourceKey key;
  absl::Time create_time;
  absl::Time update_time;
  int64_t revision = 0;  // the etag
  std::string state;     // "ACTIVE", "ARCHIVED", "READY", "UNHEALTHY"; "" for kinds without one
  std::string state_reason;
  std::string document;  // JSON of the fields that people set
};

// As people write it: `task projects/p/tasks/t`.
std::string Describe(const ResourceKey& key);

}  // namespace crossover::registry
