#include "services/registry/domain/fake_registry_store.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/status_macros.h"
#include "services/registry/domain/store_errors.h"

namespace crossover::registry {
namespace {

// Newest first; positions are "<microseconds>/<key>" with a fixed width.
template <typename Record>
Page<Record> Paged(std::vector<Record> records, const PageQuery& query,
                   const std::function<std::string(const Record&)>& key) {
  const auto position = [&key](const Record& record) {
    const std::string micros = absl::StrCat(absl::ToUnixMicros(record.create_time));
    return std::string(20 - micros.size(), '0') + micros + "/" + key(record);
  };
  std::sort(records.begin(), records.end(),
            [&](const Record& a, const Record& b) { return position(a) > position(b); });
  Page<Record> page;
  for (Record& record : records) {
    std::string here = position(record);
    if (!query.after.empty() && here >= query.after) continue;
    if (static_cast<int>(page.records.size()) == query.limit) break;
    page.records.push_back(std::move(record));
    page.positions.push_back(std::move(here));
  }
  return page;
}

auto KeyOf(const ResourceKey& key) {
  return std::make_tuple(key.kind, key.project, key.parent, key.id);
}
auto KeyOf(const PromptKey& prompt) {
  return std::make_tuple(prompt.project, prompt.task, prompt.prompt);
}
std::string Describe(const PromptKey& prompt) {
  return registry::Describe(ResourceKey{Kind::kPrompt, prompt.project, prompt.task, prompt.prompt});
}

}  // namespace

FakeRegistryStore::FakeRegistryStore(Clock& clock) : clock_(clock) {
  Resource project{.key = {Kind::kProject, "default", "", ""}, .document = "{}"};
  project.create_time = project.update_time = clock.Now();
  project.revision = 1;
  documents_[KeyOf(project.key)] = project;
}

absl::StatusOr<std::string> FakeRegistryStore::EarlierRequest(const std::string& project,
                                                              const RequestKey& key) {
  if (key.id.empty()) return std::string();
  const auto request = requests_.find({project, key.id});
  if (request == requests_.end()) return std::string();
  if (request->second.payload != key.payload) return RequestIdReused(key.id);
  return request->second.resource;
}

absl::Status FakeRegistryStore::CheckParents(const ResourceKey& key) {
  if (key.kind == Kind::kProject) return absl::OkStatus();
  const ResourceKey project{Kind::kProject, key.project, "", ""};
  if (!documents_.contains(KeyOf(project))) return NotFound(registry::Describe(project));
  const ResourceKey task{Kind::kTask, key.project, "", key.parent};
  if (key.kind == Kind::kPrompt && !documents_.contains(KeyOf(task)))
    return NotFound(registry::Describe(task));
  return absl::OkStatus();
}

absl::StatusOr<Resource> FakeRegistryStore::Create(const Resource& resource,
                                                   const RequestKey& key) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(resource.key.project, key));
  if (!earlier.empty()) return documents_.at(KeyOf(resource.key));
  RETURN_IF_ERROR(CheckParents(resource.key));
  if (documents_.contains(KeyOf(resource.key))) return Exists(registry::Describe(resource.key));
  Resource stored = resource;
  stored.create_time = stored.update_time = clock_.Now();
  stored.revision = 1;
  documents_[KeyOf(resource.key)] = stored;
  if (!key.id.empty())
    requests_[{resource.key.project, key.id}] = {key.payload, registry::Describe(resource.key)};
  return stored;
}

absl::StatusOr<Resource> FakeRegistryStore::Get(const ResourceKey& key) {
  const std::lock_guard lock(mutex_);
  const auto document = documents_.find(KeyOf(key));
  if (document == documents_.end()) return NotFound(registry::Describe(key));
  return document->second;
}

absl::StatusOr<Page<Resource>> FakeRegistryStore::List(Kind kind, const std::string& project,
                                                       const std::string& parent,
                                                       const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  std::vector<Resource> records;
  for (const auto& [key, document] : documents_) {
    if (document.key.kind != kind) continue;
    if (kind != Kind::kProject && document.key.project != project) continue;
    if (kind == Kind::kPrompt && parent != "-" && document.key.parent != parent) continue;
    records.push_back(document);
  }
  return Paged<Resource>(std::move(records), query, [](const Resource& resource) {
    return resource.key.project + "/" + resource.key.parent + "/" + resource.key.id;
  });
}

absl::StatusOr<Resource> FakeRegistryStore::Update(const Resource& resource) {
  const std::lock_guard lock(mutex_);
  const auto document = documents_.find(KeyOf(resource.key));
  if (document == documents_.end()) return NotFound(registry::Describe(resource.key));
  Resource& stored = document->second;
  if (stored.revision != resource.revision) return EtagMismatch(registry::Describe(resource.key));
  stored.document = resource.document;
  stored.state = resource.state;
  stored.state_reason = resource.state_reason;
  stored.update_time = clock_.Now();
  ++stored.revision;
  return stored;
}

absl::Status FakeRegistryStore::CheckUnused(const ResourceKey& key) {
  for (const auto& [other_key, other] : documents_) {
    const bool inside = (key.kind == Kind::kProject && other.key.kind != Kind::kProject &&
                         other.key.project == key.project) ||
                        (key.kind == Kind::kTask && other.key.kind == Kind::kPrompt &&
                         other.key.project == key.project && other.key.parent == key.id);
    if (inside) return InUse(registry::Describe(key), registry::Describe(other.key));
  }
  const auto used = activations_.find({key.project, key.parent, key.id});
  if (key.kind == Kind::kPrompt && used != activations_.end()) {
    return InUse(registry::Describe(key), "version " + used->second.back());
  }
  return absl::OkStatus();
}

absl::Status FakeRegistryStore::Delete(const ResourceKey& key) {
  const std::lock_guard lock(mutex_);
  if (!documents_.contains(KeyOf(key))) return NotFound(registry::Describe(key));
  RETURN_IF_ERROR(CheckUnused(key));
  documents_.erase(KeyOf(key));
  if (key.kind == Kind::kPrompt) versions_.erase({key.project, key.parent, key.id});
  return absl::OkStatus();
}

PromptVersion* FakeRegistryStore::Find(const PromptKey& prompt, const std::string& digest) {
  for (PromptVersion& version : versions_[KeyOf(prompt)]) {
    if (version.digest == digest) return &version;
  }
  return nullptr;
}

absl::StatusOr<PromptVersion> FakeRegistryStore::PutVersion(const PromptVersion& version) {
  const std::lock_guard lock(mutex_);
  const ResourceKey prompt{Kind::kPrompt, version.prompt.project, version.prompt.task,
                           version.prompt.prompt};
  if (!documents_.contains(KeyOf(prompt))) return NotFound(registry::Describe(prompt));
  if (const PromptVersion* stored = Find(version.prompt, version.digest)) return *stored;
  PromptVersion stored = version;
  stored.create_time = stored.update_time = clock_.Now();
  stored.state = VersionState::kDraft;
  versions_[KeyOf(version.prompt)].push_back(stored);
  return stored;
}

absl::StatusOr<PromptVersion> FakeRegistryStore::GetVersion(const PromptKey& prompt,
                                                            const std::string& digest) {
  const std::lock_guard lock(mutex_);
  const PromptVersion* version = Find(prompt, digest);
  if (version == nullptr) return NotFound(Describe(prompt) + "/versions/" + digest);
  return *version;
}

absl::StatusOr<Page<PromptVersion>> FakeRegistryStore::ListVersions(const PromptKey& prompt,
                                                                    const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  return Paged<PromptVersion>(versions_[KeyOf(prompt)], query,
                              [](const PromptVersion& version) { return version.digest; });
}

absl::StatusOr<PromptVersion> FakeRegistryStore::Activate(const PromptKey& prompt,
                                                          const std::string& digest,
                                                          const std::string& evaluation,
                                                          const std::string& override_reason) {
  const std::lock_guard lock(mutex_);
  PromptVersion* chosen = Find(prompt, digest);
  if (chosen == nullptr) return NotFound(Describe(prompt) + "/versions/" + digest);
  for (PromptVersion& version : versions_[KeyOf(prompt)]) {
    if (version.state == VersionState::kActive) version.state = VersionState::kRetired;
  }
  chosen->state = VersionState::kActive;
  if (!evaluation.empty()) chosen->evaluation = evaluation;
  chosen->override_reason = override_reason;
  chosen->activate_time = chosen->update_time = clock_.Now();
  activations_[KeyOf(prompt)].push_back(digest);
  return *chosen;
}

absl::StatusOr<std::vector<std::string>> FakeRegistryStore::ActivationHistory(
    const PromptKey& prompt) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> history;
  const std::vector<std::string>& all = activations_[KeyOf(prompt)];
  for (auto digest = all.rbegin(); digest != all.rend(); ++digest) {
    if (std::find(history.begin(), history.end(), *digest) == history.end())
      history.push_back(*digest);
  }
  if (all.empty()) activations_.erase(KeyOf(prompt));
  return history;
}

absl::StatusOr<RegistryStore::Heads> FakeRegistryStore::HeadsOf(const PromptKey& prompt) {
  const std::lock_guard lock(mutex_);
  Heads heads;
  for (const PromptVersion& version : versions_[KeyOf(prompt)]) {
    heads.latest = version.digest;
    if (version.state == VersionState::kActive) heads.active = version.digest;
  }
  return heads;
}

absl::StatusOr<ApiKey> FakeRegistryStore::CreateKey(const ApiKey& key, const RequestKey& request) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::string earlier, EarlierRequest(key.project, request));
  if (!earlier.empty()) return keys_.at({key.project, earlier});
  RETURN_IF_ERROR(CheckParents({Kind::kTask, key.project, "", ""}));
  ApiKey stored = key;
  stored.create_time = stored.update_time = clock_.Now();
  stored.revision = 1;
  keys_[{key.project, key.id}] = stored;
  if (!request.id.empty()) requests_[{key.project, request.id}] = {request.payload, key.id};
  return stored;
}

absl::StatusOr<ApiKey> FakeRegistryStore::GetKey(const std::string& project,
                                                 const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto key = keys_.find({project, id});
  if (key == keys_.end()) return NotFound("key " + id);
  return key->second;
}

absl::StatusOr<Page<ApiKey>> FakeRegistryStore::ListKeys(const std::string& project,
                                                         const PageQuery& query) {
  const std::lock_guard lock(mutex_);
  std::vector<ApiKey> keys;
  for (const auto& [id, key] : keys_) {
    if (key.project == project) keys.push_back(key);
  }
  return Paged<ApiKey>(std::move(keys), query, [](const ApiKey& key) { return key.id; });
}

absl::StatusOr<ApiKey> FakeRegistryStore::UpdateKey(const ApiKey& key) {
  const std::lock_guard lock(mutex_);
  const auto stored = keys_.find({key.project, key.id});
  if (stored == keys_.end()) return NotFound("key " + key.id);
  if (stored->second.revision != key.revision) return EtagMismatch("key " + key.id);
  const absl::Time created = stored->second.create_time;
  stored->second = key;
  stored->second.create_time = created;
  stored->second.update_time = clock_.Now();
  ++stored->second.revision;
  return stored->second;
}

absl::StatusOr<ApiKey> FakeRegistryStore::FindKey(const std::string& secret_hash) {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, key] : keys_) {
    if (!secret_hash.empty() && (key.key_hash == secret_hash || key.former_hash == secret_hash))
      return key;
  }
  return NotFound("key with this secret");
}

absl::StatusOr<bool> FakeRegistryStore::AnyKeyOpens(absl::Time now) {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, key] : keys_) {
    if (Accepts(key, key.key_hash, now)) return true;
  }
  return false;
}

}  // namespace crossover::registry
