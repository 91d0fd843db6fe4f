#include "services/shadow_router/domain/catalog.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::router {
namespace {

template <typename T>
absl::StatusOr<T> FindOr(const std::map<std::string, T>& entries, const std::string& name) {
  const auto it = entries.find(name);
  if (it != entries.end()) return it->second;
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("there is no ", name));
}

}  // namespace

void FakeCatalog::Put(const std::string& name, PromptInfo info) {
  absl::MutexLock lock(&mutex_);
  prompts_[name] = std::move(info);
}
void FakeCatalog::Put(const std::string& name, UpstreamInfo info) {
  absl::MutexLock lock(&mutex_);
  upstreams_[name] = std::move(info);
}
void FakeCatalog::Put(const std::string& name, TaskInfo info) {
  absl::MutexLock lock(&mutex_);
  tasks_[name] = std::move(info);
}
void FakeCatalog::Fail(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

absl::StatusOr<PromptInfo> FakeCatalog::GetPrompt(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return failure_;
  return FindOr(prompts_, name);
}
absl::StatusOr<UpstreamInfo> FakeCatalog::GetUpstream(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return failure_;
  return FindOr(upstreams_, name);
}
absl::StatusOr<TaskInfo> FakeCatalog::GetTask(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok()) return failure_;
  return FindOr(tasks_, name);
}

// The lock is not held while the registry is asked: a slow answer for one name must not hold up the
// others.
template <typename T, typename Read>
absl::StatusOr<T> CachedCatalog::Get(Entries<T>& entries, const std::string& name,
                                     const Read& read) {
  const absl::Duration now = clock_.SteadyNow();
  {
    absl::MutexLock lock(&mutex_);
    const auto it = entries.find(name);
    if (it != entries.end() && now - it->second.read_at < fresh_for_) return it->second.value;
  }
  absl::StatusOr<T> fresh = read();
  absl::MutexLock lock(&mutex_);
  if (fresh.ok()) {
    entries[name] = {*fresh, now};
    return fresh;
  }
  const auto it = entries.find(name);
  const bool gone = absl::IsNotFound(fresh.status());
  if (it != entries.end() && !gone) return it->second.value;
  if (gone) entries.erase(name);
  return fresh;
}

absl::StatusOr<PromptInfo> CachedCatalog::GetPrompt(const std::string& name)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return Get(prompts_, name, [&] { return inner_.GetPrompt(name); });
}
absl::StatusOr<UpstreamInfo> CachedCatalog::GetUpstream(const std::string& name)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return Get(upstreams_, name, [&] { return inner_.GetUpstream(name); });
}
absl::StatusOr<TaskInfo> CachedCatalog::GetTask(const std::string& name)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return Get(tasks_, name, [&] { return inner_.GetTask(name); });
}

}  // namespace crossover::router
