#include "services/model_server/domain/loaded_models.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::inference {

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

absl::Status NoAdapter(std::string_view base, const char* what_adapters_do) {
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat("'", ToAbsl(base), "' is a base; only adapters ", what_adapters_do),
               {.reason = "FIELD_INVALID", .violations = {{"model", "must be an adapter"}}});
}

// How soon a caller that waits learns that its client has gone.
constexpr absl::Duration kPatienceCheck = absl::Milliseconds(50);

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
  const std::string& digest = entry.info.digest;
  for (const std::string& alias : aliases) {
    const auto former = by_alias_.find(alias);
    if (former != by_alias_.end() && former->second != digest) {
      const auto other = entries_.find(former->second);
      if (other != entries_.end()) std::erase(other->second.info.aliases, alias);
    }
    by_alias_.insert_or_assign(alias, digest);
  }
  entry.info.aliases.clear();
  for (const auto& [alias, target] : by_alias_) {
    if (target == digest) entry.info.aliases.push_back(alias);
  }
}

void LoadedModels::ForgetNames(Entry& entry) {
  std::erase_if(by_alias_, [&](const auto& name) { return name.second == entry.info.digest; });
  entry.info.aliases.clear();
}

// The entry once nobody reads it or puts it away; nullptr if it is not there (any more). One that
// only waits for its last request to end is READY again: nobody has to wait for that request.
absl::StatusOr<LoadedModels::Entry*> LoadedModels::WaitUntilLoaded(
    std::unique_lock<std::mutex>& lock, const std::string& digest, const Patience& patience) {
  for (;;) {
    const auto found = entries_.find(digest);
    if (found == entries_.end()) return nullptr;
    Entry& entry = found->second;
    if (entry.info.state == ModelState::kUnloading && !entry.claimed)
      entry.info.state = ModelState::kReady;
    if (entry.info.state == ModelState::kReady) return &entry;
    RETURN_IF_ERROR(patience.Check(clock_.SteadyNow()));
    changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatienceCheck));
  }
}

// The model once it is loaded, also while it unloads; nullptr if there is none.
LoadedModels::Entry* LoadedModels::FindWhenLoaded(std::unique_lock<std::mutex>& lock,
                                                  std::string_view model) {
  Entry* entry = Find(model);
  for (; entry != nullptr && entry->info.state == ModelState::kLoading; entry = Find(model))
    changed_.wait(lock);
  return entry;
}

// Keeps the callers from a directory that makes them wait. Returns the status.
absl::Status LoadedModels::RememberFailure(const absl::Status& status) {
  const bool away = status.code() == absl::StatusCode::kUnavailable ||
                    status.code() == absl::StatusCode::kDeadlineExceeded;
  if (away) {
    std::lock_guard lock(mutex_);
    directory_failure_ = {clock_.SteadyNow(), status};
  }
  return status;
}

// Whether the directory may know more of this name than is known here.
bool LoadedModels::NeedsLookUp(const std::string& name) const {
  if (directory_ == nullptr || entries_.contains(name)) return false;  // A digest never moves.
  if (!by_alias_.contains(name)) return true;
  const auto before = looked_up_.find(name);
  return before == looked_up_.end() || clock_.SteadyNow() - before->second >= options_.name_ttl;
}

std::string LoadedModels::DigestOfName(const std::string& name) const {
  const auto alias = by_alias_.find(name);
  return alias == by_alias_.end() ? name : alias->second;
}

// Brings what the directory knows under this name into memory. A directory that cannot be asked is
// no error while the name is known from before.
absl::Status LoadedModels::LookUp(const std::string& name, const Patience& patience) {
  bool known = IsDigest(name);
  {
    std::lock_guard lock(mutex_);
    if (!NeedsLookUp(name)) return absl::OkStatus();
    const absl::Duration now = clock_.SteadyNow();
    known |= by_alias_.contains(name);
    if (directory_failure_ && now - directory_failure_->when < options_.directory_rest)
      return known ? absl::OkStatus() : directory_failure_->status;
    // Names that nobody has cost no memory for ever.
    if (looked_up_.size() > 10000) looked_up_.clear();
    // Before it is asked: one request at a time waits for the answer, the others use what is known.
    looked_up_[name] = now;
  }
  const absl::StatusOr<std::optional<DirectoryEntry>> found = directory_->Find(name);
  if (!found.ok()) {
    const absl::Status failure = RememberFailure(found.status());
    return known ? absl::OkStatus() : failure;
  }
  if (!found->has_value()) return absl::OkStatus();
  const DirectoryEntry& entry = **found;
  if (entry.is_base) return LoadBase(entry.digest, entry.aliases, patience).status();
  if (!entry.base_digest.empty())
    RETURN_IF_ERROR(LoadBase(entry.base_digest, {}, patience).status());
  return LoadAdapter(entry.digest, entry.aliases, false, entry.base_digest, patience).status();
}

bool LoadedModels::ReadsBase() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& item) {
    return item.second.info.kind == ModelKind::kBase &&
           item.second.info.state == ModelState::kLoading;
  });
}

absl::StatusOr<ModelLease> LoadedModels::Acquire(std::string_view model, const Patience& patience) {
  PutAwayUnused();
  const std::string name(LocalName(model));
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(DigestOfName(name));
    const bool ready = found != entries_.end() && found->second.info.state == ModelState::kReady;
    // Adapters of bases that are there are read in a moment, and may be waited for by anybody.
    const bool full = waiting_ >= options_.max_waiting && ReadsBase();
    // What is in memory is used without asking the directory where that would take the last thread.
    if (ready && (full || !NeedsLookUp(name))) return Take(found->second);
    if (full) {
      return Error(absl::StatusCode::kUnavailable,
                   absl::StrCat("model '", ToAbsl(model), "' is not in memory, and ", waiting_,
                                " requests wait while a base is being read; try again later"),
                   {.reason = "SERVICE_UNAVAILABLE", .metadata = {{"model", name}}});
    }
    ++waiting_;
  }
  const absl::Cleanup leave = [this] {
    std::lock_guard lock(mutex_);
    --waiting_;
  };
  return AcquireSlowly(model, name, patience);
}

absl::StatusOr<ModelLease> LoadedModels::AcquireSlowly(std::string_view model,
                                                       const std::string& name,
                                                       const Patience& patience) {
  RETURN_IF_ERROR(LookUp(name, patience));
  // More than once only if a model that was just loaded is pushed out before it is taken.
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::string digest;
    bool is_base = false;
    {
      std::unique_lock lock(mutex_);
      digest = DigestOfName(name);
      ASSIGN_OR_RETURN(Entry * entry, WaitUntilLoaded(lock, digest, patience));
      if (entry != nullptr) return Take(*entry);
      if (!IsDigest(digest)) return NotFound(model);
      is_base = known_bases_.contains(digest);
    }
    const absl::Status loaded = is_base ? LoadBase(digest, {}, patience).status()
                                        : LoadAdapter(digest, {}, false, "", patience).status();
    if (HasReason(loaded, "BLOB_NOT_FOUND")) {
      std::lock_guard lock(mutex_);
      return NotFound(model);
    }
    RETURN_IF_ERROR(loaded);
  }
  return Error(absl::StatusCode::kResourceExhausted, "ADAPTER_IN_USE",
               absl::StrCat(ToAbsl(model),
                            " is pushed out of memory as soon as it is loaded; raise "
                            "max-adapters and max-bases"));
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
  entry.touched = entry.info.last_used = clock_.Now();
  if (entry.info.in_flight == 0) changed_.notify_all();
}

absl::StatusOr<ModelInfo> LoadedModels::UnloadAdapter(std::string_view model) {
  ModelInfo info;
  std::vector<Claim> claims;
  {
    std::unique_lock lock(mutex_);
    Entry* entry = FindWhenLoaded(lock, model);
    if (entry == nullptr) return NotFound(model);
    if (entry->info.kind == ModelKind::kBase) return NoAdapter(model, "unload");
    if (entry->info.pinned) {
      return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_IN_USE",
                   absl::StrCat("adapter '", ToAbsl(model), "' is pinned; unpin it first"));
    }
    entry->info.state = ModelState::kUnloading;
    info = entry->info;
    ForgetNames(*entry);
    claims = ClaimUnused();
  }
  PutAway(std::move(claims));
  return info;
}

absl::StatusOr<ModelInfo> LoadedModels::PinAdapter(std::string_view model, bool pinned) {
  std::unique_lock lock(mutex_);
  Entry* entry = FindWhenLoaded(lock, model);
  if (entry == nullptr || entry->info.state == ModelState::kUnloading) return NotFound(model);
  if (entry->info.kind == ModelKind::kBase) return NoAdapter(model, "are pinned");
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
    sum.preemptions_total += stats.preemptions_total;
    sum.drafted_tokens_total += stats.drafted_tokens_total;
    sum.accepted_drafts_total += stats.accepted_drafts_total;
    sum.stalled_seconds = std::max(sum.stalled_seconds, stats.stalled_seconds);
  }
  return sum;
}

}  // namespace crossover::inference
