#include "services/training_scheduler/domain/fake_model_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/id/request_id.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/made_model.h"
#include "services/training_scheduler/domain/model_errors.h"

namespace crossover::scheduler {

std::vector<ModelVersion*> FakeModelStore::Versions(const std::string& project,
                                                    const std::string& model) {
  std::vector<ModelVersion*> found;
  for (ModelVersion& version : versions_) {
    const bool named = model.empty() || model == "-" || version.model == model;
    if (version.project == project && named) found.push_back(&version);
  }
  return found;
}

void FakeModelStore::TakeAlias(const std::string& project, const std::string& alias) {
  for (ModelVersion* version : Versions(project, "")) {
    if (version->alias == alias) version->alias.clear();
  }
}

absl::StatusOr<std::optional<ModelVersion>> FakeModelStore::FindRegistered(
    const std::string& project, const RequestKey& key) {
  Request request;
  {
    absl::MutexLock lock(&mutex_);
    const auto known = requests_.find({project, key.id});
    if (known == requests_.end()) return std::optional<ModelVersion>();
    request = known->second;
  }
  if (request.payload_hash != key.payload_hash) return RequestIdReused(key.id);
  ASSIGN_OR_RETURN(ModelVersion version, GetVersion(project, request.model, request.digest));
  return std::optional(std::move(version));
}

absl::StatusOr<ModelVersion> FakeModelStore::Register(const ModelVersion& version,
                                                      const RequestKey& key) {
  absl::MutexLock lock(&mutex_);
  const auto used = requests_.find({version.project, key.id});
  if (used != requests_.end() && used->second.payload_hash != key.payload_hash) {
    return RequestIdReused(key.id);
  }
  if (const auto known = KindOf(version); known.has_value() && *known != version.kind) {
    return KindTaken(version.model, *known, version.kind);
  }
  if (!key.id.empty()) {
    requests_.try_emplace({version.project, key.id},
                          Request{key.payload_hash, version.model, version.digest});
  }
  return Add(version);
}

absl::StatusOr<ModelVersion> FakeModelStore::RegisterMade(const ModelVersion& version, Job& job) {
  absl::MutexLock lock(&mutex_);
  ModelVersion named = version;
  NameMade(KindOf(version), named, job);
  return Add(named);
}

std::optional<ModelKind> FakeModelStore::KindOf(const ModelVersion& version) {
  const auto model = models_.find({version.project, version.model});
  if (model == models_.end()) return std::nullopt;
  return model->second.kind;
}

ModelVersion FakeModelStore::Add(const ModelVersion& version) {
  for (ModelVersion* known : Versions(version.project, version.model)) {
    if (known->digest != version.digest) continue;
    if (known->alias.empty() && !version.alias.empty()) {
      TakeAlias(version.project, version.alias);
      known->alias = version.alias;
    }
    return *known;
  }
  ModelVersion stored = version;
  if (!stored.alias.empty()) TakeAlias(stored.project, stored.alias);
  stored.ordinal = ++last_ordinal_;
  stored.create_time = clock_.Now();
  versions_.push_back(stored);
  auto [model, added] = models_.try_emplace({version.project, version.model});
  if (added) {
    model->second.project = version.project;
    model->second.model = version.model;
    model->second.kind = version.kind;
    model->second.create_time = clock_.Now();
  }
  model->second.current_digest = version.digest;
  model->second.update_time = clock_.Now();
  return stored;
}

absl::StatusOr<Model> FakeModelStore::GetModel(const std::string& project,
                                               const std::string& model) {
  absl::MutexLock lock(&mutex_);
  const auto found = models_.find({project, model});
  if (found == models_.end()) return NoModel(project, model);
  return found->second;
}

absl::StatusOr<std::vector<Model>> FakeModelStore::ListModels(const std::string& project,
                                                              const std::string& after,
                                                              int64_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<Model> models;
  for (const auto& [key, model] : models_) {
    if (key.first == project && key.second > after && static_cast<int64_t>(models.size()) < limit) {
      models.push_back(model);
    }
  }
  return models;
}

absl::StatusOr<Model> FakeModelStore::UpdateModel(const Model& model) {
  absl::MutexLock lock(&mutex_);
  const auto found = models_.find({model.project, model.model});
  if (found == models_.end()) return NoModel(model.project, model.model);
  found->second.display_name = model.display_name;
  found->second.labels = model.labels;
  found->second.update_time = clock_.Now();
  return found->second;
}

absl::StatusOr<ModelVersion> FakeModelStore::GetVersion(const std::string& project,
                                                        const std::string& model,
                                                        const std::string& digest_or_alias) {
  absl::MutexLock lock(&mutex_);
  const std::vector<ModelVersion*> versions = Versions(project, model);
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (digest_or_alias == (*version)->digest || digest_or_alias == (*version)->alias) {
      return **version;
    }
  }
  return NoVersion(project, model, digest_or_alias);
}

absl::StatusOr<std::vector<ModelVersion>> FakeModelStore::ListVersions(const VersionQuery& query) {
  absl::MutexLock lock(&mutex_);
  const auto fits = [](const std::string& wanted, const std::string& value) {
    return wanted.empty() || wanted == value;
  };
  std::vector<ModelVersion> found;
  const std::vector<ModelVersion*> all = Versions(query.project, query.model);
  for (auto place = all.rbegin(); place != all.rend(); ++place) {
    const ModelVersion& version = **place;
    if ((query.before == 0 || version.ordinal < query.before) &&
        (!query.kind.has_value() || *query.kind == version.kind) &&
        fits(query.alias, version.alias) && fits(query.digest, version.digest) &&
        fits(query.base_digest, version.base_digest) &&
        fits(query.source_job, version.source_job) &&
        fits(query.dataset_version, version.dataset_version) && fits(query.task, version.task) &&
        static_cast<int64_t>(found.size()) < query.limit) {
      found.push_back(version);
    }
  }
  return found;
}

absl::StatusOr<ModelVersion> FakeModelStore::SetAlias(const std::string& project,
                                                      const std::string& model,
                                                      const std::string& digest,
                                                      const std::string& alias) {
  absl::MutexLock lock(&mutex_);
  ModelVersion* target = nullptr;
  for (ModelVersion* version : Versions(project, model)) {
    if (version->digest == digest) target = version;
  }
  if (target == nullptr) return NoVersion(project, model, digest);
  if (!alias.empty()) TakeAlias(project, alias);
  target->alias = alias;
  return *target;
}

absl::Status FakeModelStore::DeleteVersion(const std::string& project, const std::string& model,
                                           const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(versions_.begin(), versions_.end(), [&](const auto& version) {
    return version.project == project && version.model == model && version.digest == digest;
  });
  if (found == versions_.end()) return NoVersion(project, model, digest);
  if (in_use.contains(digest)) return VersionInUse(digest, "an unfinished job");
  for (const ModelVersion& version : versions_) {
    if (version.project == project && version.base_digest == digest) {
      return VersionInUse(digest, absl::StrCat("model ", version.model));
    }
  }
  versions_.erase(found);
  const std::vector<ModelVersion*> rest = Versions(project, model);
  if (rest.empty()) {
    models_.erase({project, model});
  } else {
    models_[{project, model}].current_digest = rest.back()->digest;
  }
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
