// What the router reads from the registry: prompts, upstreams, tasks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/prompt/prompt_spec.h"
#include "common/time/clock.h"
#include "services/shadow_router/domain/grader.h"
#include "services/shadow_router/domain/system.h"

namespace crossover::router {

struct PromptInfo {
  std::string digest;
  std::string version;  // Resource name of the version; a Prompt's name resolves to its active one.
  bool evaluated = false;
  std::shared_ptr<const prompt::PromptSpec> spec;
};

struct UpstreamInfo {
  std::string name;
  std::string base_url;
  std::string
      api_key;  // What credential_ref points to; read by the registry's client, never stored.
  Prices prices;
  absl::Duration timeout = absl::ZeroDuration();
  bool data_processor = false;
};

// How much of a request may be kept.
enum class RecordPolicy { kOff, kMetadata, kRedacted, kFull };

struct TaskInfo {
  OutputContract contract;
  std::vector<ComparatorSpec>
      comparators;  // From the task's graders; empty: from the contract's form.
  // Without a task, or while its policy is unknown, nothing but numbers and digests is kept.
  RecordPolicy record = RecordPolicy::kMetadata;
  std::vector<std::string> mirror_to;  // Upstreams that may see this task's requests.
};

// Thread-safe; may block on the network. NOT_FOUND if there is no such resource.
class Catalog {
 public:
  virtual ~Catalog() = default;
  virtual absl::StatusOr<PromptInfo> GetPrompt(const std::string& name) = 0;
  virtual absl::StatusOr<UpstreamInfo> GetUpstream(const std::string& name) = 0;
  virtual absl::StatusOr<TaskInfo> GetTask(const std::string& name) = 0;
};

// For tests, and for routes that are configured without a registry. Thread-safe.
class FakeCatalog final : public Catalog {
 public:
  void Put(const std::string& name, PromptInfo info);
  void Put(const std::string& name, UpstreamInfo info);
  void Put(const std::string& name, TaskInfo info);
  // Makes every call fail with this status until OK is set.
  void Fail(absl::Status status);

  absl::StatusOr<PromptInfo> GetPrompt(const std::string& name) override;
  absl::StatusOr<UpstreamInfo> GetUpstream(const std::string& name) override;
  absl::StatusOr<TaskInfo> GetTask(const std::string& name) override;

 private:
  absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, PromptInfo> prompts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, UpstreamInfo> upstreams_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, TaskInfo> tasks_ ABSL_GUARDED_BY(mutex_);
};

// Keeps answers for `fresh_for`; while the registry can't be reached it goes on with the last one
// it had, however old.
class CachedCatalog final : public Catalog {
 public:
  CachedCatalog(Catalog& inner, absl::Duration fresh_for, Clock& clock)
      : inner_(inner), fresh_for_(fresh_for), clock_(clock) {}

  absl::StatusOr<PromptInfo> GetPrompt(const std::string& name) override;
  absl::StatusOr<UpstreamInfo> GetUpstream(const std::string& name) override;
  absl::StatusOr<TaskInfo> GetTask(const std::string& name) override;

 private:
  template <typename T>
  struct Entry {
    T value;
    absl::Duration read_at;
  };
  template <typename T>
  using Entries = std::map<std::string, Entry<T>>;
  template <typename T, typename Read>
  absl::StatusOr<T> Get(Entries<T>& entries, const std::string& name, const Read& read);

  Catalog& inner_;
  const absl::Duration fresh_for_;
  Clock& clock_;
  absl::Mutex mutex_;
  Entries<PromptInfo> prompts_ ABSL_GUARDED_BY(mutex_);
  Entries<UpstreamInfo> upstreams_ ABSL_GUARDED_BY(mutex_);
  Entries<TaskInfo> tasks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crossover::router
