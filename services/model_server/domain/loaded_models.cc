#include "services/model_server/domain/loaded_models.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/peft.h"

namespace crossover::inference {

namespace fs = std::filesystem;

ModelLease::ModelLease(ModelLease&& other) noexcept { *this = std::move(other); }

ModelLease& ModelLease::operator=(ModelLease&& other) noexcept {
  if (this == &other) return *this;
  End();
  owner_ = std::exchange(other.owner_, nullptr);
  base_ = std::move(other.base_);
  adapter_ = std::move(other.adapter_);
  digest_ = std::move(other.digest_);
  return *this;
}

ModelLease::~ModelLease() { End(); }

void ModelLease::End() {
  // The reference goes first: the engine must never be destroyed by a lease that ends on the
  // engine's own thread.
  base_.reset();
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->Release(digest_);
}

LoadedModels::LoadedModels(LoadedModelsOptions options, BaseLoader& loader, BlobStore& blobs,
                           ModelDirectory* directory, Clock& clock)
    : options_(std::move(options)),
      loader_(loader),
      blobs_(blobs),
      directory_(directory),
      clock_(clock) {}

LoadedModels::~LoadedModels() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] {
    return std::none_of(entries_.begin(), entries_.end(),
                        [](const auto& item) { return item.second.info.in_flight > 0; });
  });
}

namespace {

// "projects/p/models/m" and "projects/p/models/m/versions/sha256:…" name what comes last.
std::string_view LocalName(std::string_view model) {
  return model.starts_with("projects/") ? model.substr(model.rfind('/') + 1) : model;
}

}  // namespace

LoadedModels::Entry* LoadedModels::Find(std::string_view name) {
  const std::string_view model = LocalName(name);
  const auto alias = by_alias_.find(model);
  const auto found =
      entries_.find(alias == by_alias_.end() ? model : std::string_view(alias->second));
  return found == entries_.end() ? nullptr : &found->second;
}

absl::Status LoadedModels::NotFound(std::string_view model) const {
  std::vector<std::string> known;
  for (const auto& [alias, digest] : by_alias_) known.push_back(alias);
  const std::string list = absl::StrJoin(known, ", ");
  return Error(
      absl::StatusCode::kNotFound,
      absl::StrCat("model '", ToAbsl(model), "' does not exist here; known names: ",
                   list.empty() ? "none" : list, "; adapters may also be given as sha256:…"),
      {.reason = "MODEL_NOT_FOUND", .metadata = {{"model", std::string(model)}, {"known", list}}});
}

void LoadedModels::SetAliases(Entry& entry, const std::vector<std::string>& aliases) {
  for (const std::string& alias : aliases) {
    const auto former = by_alias_.find(alias);
    if (former != by_alias_.end() && former->second != entry.info.digest) {
      const auto other = entries_.find(former->second);
      if (other != entries_.end()) std::erase(other->second.info.aliases, alias);
    }
    by_alias_.insert_or_assign(alias, entry.info.digest);
    entry.info.aliases.push_back(alias);
  }
  std::sort(entry.info.aliases.begin(), entry.info.aliases.end());
  entry.info.aliases.erase(std::unique(entry.info.aliases.begin(), entry.info.aliases.end()),
                           entry.info.aliases.end());
}

// The entry once nobody loads or unloads it; nullptr if it is not there (any more).
LoadedModels::Entry* LoadedModels::WaitUntilLoaded(std::unique_lock<std::mutex>& lock,
                                                   const std::string& digest) {
  for (;;) {
    const auto found = entries_.find(digest);
    if (found == entries_.end()) return nullptr;
    if (found->second.info.state == ModelState::kReady) return &found->second;
    if (unused_.empty()) {
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    PutAwayUnused();
    lock.lock();
  }
}

// Brings what the directory knows under this name into memory. A directory that cannot be asked is
// no error while the name is known from before.
absl::Status LoadedModels::LookUp(const std::string& name) {
  if (directory_ == nullptr) return absl::OkStatus();
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    if (entries_.contains(name)) return absl::OkStatus();  // A digest never moves.
    const auto before = looked_up_.find(name);
    known = by_alias_.contains(name);
    if (known && before != looked_up_.end() &&
        clock_.SteadyNow() - before->second < options_.name_ttl)
      return absl::OkStatus();
  }
  const absl::StatusOr<std::optional<DirectoryEntry>> found = directory_->Find(name);
  if (!found.ok()) return known || IsDigest(name) ? absl::OkStatus() : found.status();
  {
    std::lock_guard lock(mutex_);
    if (looked_up_.size() > 10000)
      looked_up_.clear();  // Names that nobody has cost no memory for ever.
    looked_up_[name] = clock_.SteadyNow();
  }
  if (!found->has_value()) return absl::OkStatus();
  const DirectoryEntry& entry = **found;
  if (entry.is_base) return LoadBase(entry.digest, entry.aliases).status();
  if (!entry.base_digest.empty()) RETURN_IF_ERROR(LoadBase(entry.base_digest, {}).status());
  return LoadAdapter(entry.digest, entry.aliases, false, entry.base_digest).status();
}

absl::StatusOr<ModelLease> LoadedModels::Acquire(std::string_view model) {
  PutAwayUnused();
  const std::string name(LocalName(model));
  RETURN_IF_ERROR(LookUp(name));
  // More than once only if an adapter that was just loaded is pushed out before it is taken.
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::string digest;
    {
      std::unique_lock lock(mutex_);
      const auto alias = by_alias_.find(name);
      digest = alias == by_alias_.end() ? name : alias->second;
      if (Entry* entry = WaitUntilLoaded(lock, digest)) return Take(*entry);
      if (!IsDigest(digest)) return NotFound(model);
    }
    const absl::Status loaded = LoadAdapter(digest, {}, false, "").status();
    if (HasReason(loaded, "BLOB_NOT_FOUND")) {
      std::lock_guard lock(mutex_);
      return NotFound(model);
    }
    RETURN_IF_ERROR(loaded);
  }
  return Error(
      absl::StatusCode::kResourceExhausted, "ADAPTER_IN_USE",
      absl::StrCat("adapter ", ToAbsl(model),
                   " is pushed out of memory as soon as it is loaded; raise max-adapters"));
}

ModelLease LoadedModels::Take(Entry& entry) {
  ++entry.info.in_flight;
  ModelLease lease;
  lease.owner_ = this;
  lease.base_ = entry.base;
  lease.digest_ = entry.info.digest;
  if (entry.info.kind == ModelKind::kAdapter) lease.adapter_ = entry.info.digest;
  return lease;
}

void LoadedModels::Release(const std::string& digest) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  --entry.info.in_flight;
  entry.info.last_used = clock_.Now();
  if (entry.info.state == ModelState::kUnloading && entry.info.in_flight == 0)
    unused_.push_back(digest);
  if (entry.info.in_flight == 0) changed_.notify_all();
}

// Leases end on the engine's thread, which may not call the engine; so what they leave behind is
// put away by the next caller.
void LoadedModels::PutAwayUnused() {
  std::vector<std::pair<std::string, std::shared_ptr<LoadedBase>>> unused;
  {
    std::lock_guard lock(mutex_);
    for (const std::string& digest : unused_) {
      const auto found = entries_.find(digest);
      if (found != entries_.end()) unused.emplace_back(digest, found->second.base);
    }
    unused_.clear();
  }
  for (const auto& [digest, base] : unused) {
    (void)base->engine->UnloadAdapter(digest);  // Gone already is gone.
    Remove(digest, /*forget_names=*/true);
  }
}

void LoadedModels::Remove(const std::string& digest, bool forget_names) {
  std::lock_guard lock(mutex_);
  entries_.erase(digest);
  if (forget_names) {
    std::erase_if(by_alias_, [&](const auto& name) { return name.second == digest; });
  }
  changed_.notify_all();
}

absl::StatusOr<ModelInfo> LoadedModels::LoadBase(const std::string& digest,
                                                 const std::vector<std::string>& aliases) {
  {
    std::unique_lock lock(mutex_);
    if (Entry* entry = WaitUntilLoaded(lock, digest)) {
      SetAliases(*entry, aliases);
      return entry->info;
    }
    Entry& entry = entries_[digest];
    entry.info = {.digest = digest, .kind = ModelKind::kBase};
    SetAliases(entry, aliases);
  }
  absl::Cleanup give_up = [&] { Remove(digest, true); };
  ASSIGN_OR_RETURN(const fs::path path, blobs_.LocalPath(digest));
  ASSIGN_OR_RETURN(std::shared_ptr<LoadedBase> base, loader_.Load(digest, path));
  std::move(give_up).Cancel();
  std::lock_guard lock(mutex_);
  Entry& entry = entries_[digest];
  entry.info.bytes = base->bytes;
  entry.info.architecture = base->architecture;
  entry.info.context_length = base->context_length;
  entry.info.state = ModelState::kReady;
  entry.base = std::move(base);
  changed_.notify_all();
  return entry.info;
}

absl::StatusOr<std::shared_ptr<LoadedBase>> LoadedModels::BaseFor(const AdapterFacts& facts,
                                                                  const std::string& wanted) const {
  std::lock_guard lock(mutex_);
  const std::string& digest = wanted.empty() ? facts.base : wanted;
  std::shared_ptr<LoadedBase> only;
  int bases = 0;
  for (const auto& [key, entry] : entries_) {
    if (entry.info.kind != ModelKind::kBase || entry.info.state != ModelState::kReady) continue;
    if (key == digest) only = entry.base;
    if (digest.empty()) only = entry.base;
    ++bases;
  }
  const bool contradicts = !wanted.empty() && !facts.base.empty() && wanted != facts.base;
  if (only != nullptr && !contradicts && (!digest.empty() || bases == 1)) return only;
  return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_BASE_MISMATCH",
               digest.empty()
                   ? absl::StrCat("the adapter does not say which base it was trained on and ",
                                  bases, " bases are loaded; give base_digest")
                   : absl::StrCat("the adapter was trained on base ",
                                  facts.base.empty() ? digest : facts.base,
                                  contradicts ? ", not on " + wanted : ", which is not loaded"));
}

absl::StatusOr<LoadedModels::Entry> LoadedModels::ReadAdapter(const std::string& digest,
                                                              const std::string& base_digest) {
  const absl::StatusOr<Manifest> manifest = blobs_.ReadManifest(digest);
  if (!manifest.ok()) {
    if (manifest.status().code() == absl::StatusCode::kNotFound) return manifest.status();
    return Error(
        absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
        absl::StrCat(digest, " is not an adapter: ", ToAbsl(ToStd(manifest.status().message()))));
  }
  fs::path folder;
  {
    std::lock_guard lock(mutex_);
    folder = options_.scratch / absl::StrCat("adapter-", ++scratch_count_);
  }
  std::error_code ignored;
  fs::create_directories(options_.scratch, ignored);
  fs::remove_all(folder, ignored);  // Left by a process that was killed.
  const absl::Cleanup clean = [&] {
    std::error_code error;
    fs::remove_all(folder, error);
  };
  RETURN_IF_ERROR(blobs_.Materialise(digest, folder));
  const fs::path config_path = folder / llm::kAdapterConfigFile;
  ASSIGN_OR_RETURN(const std::string text, llm::ReadTextFile(config_path, size_t{16} << 20));
  ASSIGN_OR_RETURN(const llm::LoraConfig config,
                   llm::ParseLoraConfig(text, digest + "/" + llm::kAdapterConfigFile));
  const AdapterFacts facts{.rank = static_cast<int32_t>(config.rank),
                           .base = IsDigest(config.base_model) ? config.base_model : ""};
  Entry entry;
  ASSIGN_OR_RETURN(entry.base, BaseFor(facts, base_digest));
  RETURN_IF_ERROR(entry.base->engine->LoadAdapter(digest, folder));
  entry.info = {.digest = digest,
                .kind = ModelKind::kAdapter,
                .bytes = manifest->TotalSize(),
                .state = ModelState::kReady,
                .base_digest = entry.base->digest,
                .architecture = entry.base->architecture,
                .context_length = entry.base->context_length,
                .rank = facts.rank};
  return entry;
}

// Takes the adapter unused for longest out of the table if there is no room for another. Called
// with the lock.
absl::Status LoadedModels::MakeRoom(std::vector<std::string>& evicted) {
  int adapters = 0;
  Entry* oldest = nullptr;
  for (auto& [digest, entry] : entries_) {
    if (entry.info.kind != ModelKind::kAdapter) continue;
    ++adapters;
    const bool free =
        entry.info.state == ModelState::kReady && !entry.info.pinned && entry.info.in_flight == 0;
    if (free && (oldest == nullptr || entry.info.last_used < oldest->info.last_used))
      oldest = &entry;
  }
  if (adapters < options_.max_adapters) return absl::OkStatus();
  if (oldest == nullptr) {
    return Error(
        absl::StatusCode::kResourceExhausted, "ADAPTER_IN_USE",
        absl::StrCat("all ", adapters,
                     " places for adapters are pinned or busy; unload one or raise max-adapters"));
  }
  oldest->info.state = ModelState::kUnloading;
  evicted.push_back(oldest->info.digest);
  return absl::OkStatus();
}

absl::StatusOr<ModelInfo> LoadedModels::LoadAdapter(const std::string& digest,
                                                    const std::vector<std::string>& aliases,
                                                    bool pinned, const std::string& base_digest) {
  if (!IsDigest(digest)) {
    return Error(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("'", digest, "' is not sha256:<64 hex digits>"),
        {.reason = "FIELD_INVALID", .violations = {{"digest", "must be sha256:<64 hex digits>"}}});
  }
  PutAwayUnused();
  std::vector<std::string> evicted;
  {
    std::unique_lock lock(mutex_);
    if (Entry* entry = WaitUntilLoaded(lock, digest)) {
      SetAliases(*entry, aliases);
      entry->info.pinned |= pinned;
      return entry->info;
    }
    RETURN_IF_ERROR(MakeRoom(evicted));
    entries_[digest].info = {.digest = digest, .kind = ModelKind::kAdapter};
  }
  for (const std::string& old : evicted) {
    std::shared_ptr<LoadedBase> base;
    {
      std::lock_guard lock(mutex_);
      base = entries_[old].base;
    }
    (void)base->engine->UnloadAdapter(old);
    Remove(old, /*forget_names=*/false);  // A request by name brings it back.
  }
  absl::Cleanup give_up = [&] { Remove(digest, false); };
  ASSIGN_OR_RETURN(Entry loaded, ReadAdapter(digest, base_digest));
  std::move(give_up).Cancel();
  std::lock_guard lock(mutex_);
  Entry& entry = entries_[digest];
  entry = std::move(loaded);
  entry.info.pinned = pinned;
  entry.info.last_used = clock_.Now();
  for (const auto& [alias, target] : by_alias_) {
    if (target == digest) entry.info.aliases.push_back(alias);
  }
  SetAliases(entry, aliases);
  changed_.notify_all();
  return entry.info;
}

absl::StatusOr<ModelInfo> LoadedModels::UnloadAdapter(std::string_view model) {
  PutAwayUnused();
  ModelInfo info;
  std::shared_ptr<LoadedBase> base;
  {
    std::unique_lock lock(mutex_);
    Entry* entry = Find(model);
    if (entry == nullptr) return NotFound(model);
    if (entry->info.kind == ModelKind::kBase) {
      return Error(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("'", ToAbsl(model), "' is a base; only adapters unload"),
                   {.reason = "FIELD_INVALID", .violations = {{"model", "must be an adapter"}}});
    }
    if (entry->info.pinned) {
      return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_IN_USE",
                   absl::StrCat("adapter '", ToAbsl(model), "' is pinned; unpin it first"));
    }
    if (entry->info.state == ModelState::kReady) entry->info.state = ModelState::kUnloading;
    info = entry->info;
    if (info.state == ModelState::kUnloading && info.in_flight == 0) base = entry->base;
  }
  if (base != nullptr) {
    (void)base->engine->UnloadAdapter(info.digest);
    Remove(info.digest, /*forget_names=*/true);
  }
  return info;
}

absl::StatusOr<ModelInfo> LoadedModels::PinAdapter(std::string_view model, bool pinned) {
  std::lock_guard lock(mutex_);
  Entry* entry = Find(model);
  if (entry == nullptr) return NotFound(model);
  entry->info.pinned = pinned;
  return entry->info;
}

std::vector<ModelInfo> LoadedModels::List() const {
  std::vector<ModelInfo> list;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [digest, entry] : entries_) list.push_back(entry.info);
  }
  std::stable_sort(list.begin(), list.end(), [](const ModelInfo& a, const ModelInfo& b) {
    if (a.kind != b.kind) return a.kind == ModelKind::kBase;
    return a.last_used > b.last_used;
  });
  return list;
}

llm::EngineStats LoadedModels::Stats() const {
  std::vector<std::shared_ptr<LoadedBase>> bases;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [digest, entry] : entries_) {
      if (entry.info.kind == ModelKind::kBase && entry.base != nullptr) bases.push_back(entry.base);
    }
  }
  llm::EngineStats sum;
  for (const auto& base : bases) {
    const llm::EngineStats stats = base->engine->Stats();
    sum.queued += stats.queued;
    sum.running += stats.running;
    sum.kv_bytes_running += stats.kv_bytes_running;
    sum.kv_bytes_cached += stats.kv_bytes_cached;
    sum.prompt_tokens_total += stats.prompt_tokens_total;
    sum.cached_prompt_tokens_total += stats.cached_prompt_tokens_total;
    sum.generated_tokens_total += stats.generated_tokens_total;
    sum.steps_total += stats.steps_total;
  }
  return sum;
}

}  // namespace crossover::inference
