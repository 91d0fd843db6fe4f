// LoadedModels: what comes into memory and what has to leave for it.
#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/peft.h"
#include "services/model_server/domain/loaded_models.h"

namespace crossover::inference {

namespace fs = std::filesystem;

namespace {

std::shared_ptr<llm::ConstraintCompiler> NewConstraintCompiler(const llm::Tokenizer& tokenizer) {
  std::vector<std::string> bytes(static_cast<size_t>(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.IsSpecial(id)) bytes[id] = std::string(tokenizer.Bytes(id));
  }
  return std::make_shared<llm::ConstraintCompiler>(
      std::make_shared<llm::TokenVocabulary>(std::move(bytes)));
}

int64_t LongestToken(const llm::Tokenizer& tokenizer) {
  size_t longest = 0;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    longest = std::max(longest, tokenizer.Bytes(id).size());
  return static_cast<int64_t>(longest);
}

}  // namespace

LoadedModels::Claim LoadedModels::ClaimEntry(Entry& entry) {
  entry.info.state = ModelState::kUnloading;
  entry.claimed = true;
  return {entry.info.digest, entry.info.kind, entry.base};
}

std::vector<LoadedModels::Claim> LoadedModels::ClaimUnused() {
  std::vector<Claim> claims;
  for (auto& [digest, entry] : entries_) {
    const bool unused = entry.info.state == ModelState::kUnloading && entry.info.in_flight == 0;
    if (unused && !entry.claimed) claims.push_back(ClaimEntry(entry));
  }
  return claims;
}

// Engines are destroyed here, when the last claim goes.
void LoadedModels::PutAway(std::vector<Claim> claims) {
  for (const Claim& claim : claims) {
    // It was loaded, so an error can only mean that it is gone.
    if (claim.kind == ModelKind::kAdapter)
      claim.base->engine->UnloadAdapter(claim.digest).IgnoreError();
    Remove(claim.digest);
  }
}

// Leases end on the engine's thread, which may not call the engine; so what they leave behind is
// put away by the next caller.
void LoadedModels::PutAwayUnused() {
  std::vector<Claim> claims;
  {
    std::lock_guard lock(mutex_);
    claims = ClaimUnused();
  }
  PutAway(std::move(claims));
}

void LoadedModels::Remove(const std::string& digest) {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(digest);
  if (found->second.forget_names)
    std::erase_if(by_alias_, [&](const auto& name) { return name.second == digest; });
  entries_.erase(found);
  changed_.notify_all();
}

// Nothing would be interrupted if the base went with its adapters.
bool LoadedModels::IsIdle(const Entry& base) const {
  const auto busy = [](const Entry& entry) {
    return entry.info.state != ModelState::kReady || entry.info.in_flight > 0 || entry.info.pinned;
  };
  return !busy(base) && std::none_of(entries_.begin(), entries_.end(), [&](const auto& item) {
    return item.second.info.base_digest == base.info.digest && busy(item.second);
  });
}

absl::Time LoadedModels::LastUse(const Entry& base) const {
  absl::Time last = base.touched;
  for (const auto& [digest, entry] : entries_) {
    if (entry.info.base_digest == base.info.digest) last = std::max(last, entry.touched);
  }
  return last;
}

// Claims the base unused for longest, and its adapters, if there is no room for another base.
absl::StatusOr<std::vector<LoadedModels::Claim>> LoadedModels::MakeRoomForBase() {
  int bases = 0;
  Entry* oldest = nullptr;
  for (auto& [digest, entry] : entries_) {
    if (entry.info.kind != ModelKind::kBase || entry.claimed) continue;
    ++bases;
    if (IsIdle(entry) && (oldest == nullptr || LastUse(entry) < LastUse(*oldest))) oldest = &entry;
  }
  std::vector<Claim> claims;
  if (bases < options_.max_bases) return claims;
  if (oldest == nullptr) {
    return Error(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("all ", bases,
                     " places for base models answer requests or hold pinned adapters; "
                     "try again later or raise max-bases"),
        {.reason = "BASES_IN_USE", .metadata = {{"max_bases", absl::StrCat(options_.max_bases)}}});
  }
  for (auto& [digest, entry] : entries_) {
    if (entry.info.base_digest == oldest->info.digest) claims.push_back(ClaimEntry(entry));
  }
  claims.push_back(ClaimEntry(*oldest));
  return claims;
}

// Claims the adapters unused for longest until another of so many bytes has room. Their names stay,
// so that a request brings them back.
absl::StatusOr<std::vector<LoadedModels::Claim>> LoadedModels::MakeRoomForAdapter(int64_t bytes) {
  int adapters = 0;
  int64_t used = 0;
  std::vector<Entry*> free;
  for (auto& [digest, entry] : entries_) {
    if (entry.info.kind != ModelKind::kAdapter || entry.claimed) continue;
    ++adapters;
    used += entry.info.bytes;
    if (entry.info.state == ModelState::kReady && !entry.info.pinned && entry.info.in_flight == 0)
      free.push_back(&entry);
  }
  std::sort(free.begin(), free.end(),
            [](const Entry* a, const Entry* b) { return a->touched < b->touched; });
  size_t leaving = 0;
  const auto has_room = [&] {
    const bool fits = options_.adapter_bytes <= 0 || used + bytes <= options_.adapter_bytes;
    return adapters < options_.max_adapters && fits;
  };
  while (!has_room() && leaving < free.size()) {
    --adapters;
    used -= free[leaving++]->info.bytes;
  }
  if (!has_room()) {
    return Error(absl::StatusCode::kResourceExhausted, "ADAPTER_IN_USE",
                 absl::StrCat("an adapter of ", bytes, " bytes has no room: ", adapters,
                              " adapters with ", used,
                              " bytes are pinned or busy; unload one or raise max-adapters or "
                              "adapter-cache-mb"));
  }
  std::vector<Claim> claims;
  for (size_t i = 0; i < leaving; ++i) claims.push_back(ClaimEntry(*free[i]));
  return claims;
}

absl::StatusOr<ModelInfo> LoadedModels::LoadBase(const std::string& digest,
                                                 const std::vector<std::string>& aliases,
                                                 const Patience& patience) {
  PutAwayUnused();
  std::vector<Claim> claims;
  {
    std::unique_lock lock(mutex_);
    ASSIGN_OR_RETURN(Entry * there, WaitUntilLoaded(lock, digest, patience));
    if (there != nullptr) {
      SetAliases(*there, aliases);
      return there->info;
    }
    ASSIGN_OR_RETURN(claims, MakeRoomForBase());
    Entry& entry = entries_[digest];
    entry.info = {.digest = digest, .kind = ModelKind::kBase};
    entry.forget_names = !known_bases_.contains(digest);  // If it cannot be loaded.
    SetAliases(entry, aliases);
  }
  absl::Cleanup give_up = [&] { Remove(digest); };
  PutAway(std::move(claims));  // Before the new base takes its memory.
  ASSIGN_OR_RETURN(const fs::path path, blobs_.LocalTree(digest));
  ASSIGN_OR_RETURN(std::shared_ptr<LoadedBase> base, loader_.Load(digest, path));
  base->constraints = NewConstraintCompiler(*base->tokenizer);
  base->longest_token_bytes = LongestToken(*base->tokenizer);
  std::move(give_up).Cancel();
  std::lock_guard lock(mutex_);
  known_bases_.insert(digest);
  Entry& entry = entries_.at(digest);
  entry.info.bytes = base->bytes;
  entry.info.architecture = base->architecture;
  entry.info.context_length = base->context_length;
  entry.info.state = ModelState::kReady;
  entry.base = std::move(base);
  entry.forget_names = false;
  entry.touched = clock_.Now();
  changed_.notify_all();
  return entry.info;
}

// The base with this digest once it is loaded; "": the only base there is. nullptr if there is
// none.
absl::StatusOr<LoadedModels::Entry*> LoadedModels::BaseWhenLoaded(
    std::unique_lock<std::mutex>& lock, const std::string& digest) {
  if (!digest.empty()) {
    const auto found = entries_.find(digest);
    if (found == entries_.end() || found->second.info.kind != ModelKind::kBase) return nullptr;
    return WaitUntilLoaded(lock, digest, {});  // Others may wait for what this thread reads.
  }
  Entry* only = nullptr;
  for (auto& [key, entry] : entries_) {
    if (entry.info.kind != ModelKind::kBase || entry.info.state != ModelState::kReady) continue;
    if (only != nullptr) return nullptr;
    only = &entry;
  }
  return only;
}

// Holds the adapter's base; one that has left memory is loaded again.
absl::StatusOr<ModelLease> LoadedModels::LeaseBase(const AdapterFacts& facts,
                                                   const std::string& wanted) {
  const std::string& digest = wanted.empty() ? facts.base : wanted;
  const bool contradicts = !wanted.empty() && !facts.base.empty() && wanted != facts.base;
  for (int attempt = 0; attempt < 3 && !contradicts; ++attempt) {
    {
      std::unique_lock lock(mutex_);
      ASSIGN_OR_RETURN(Entry * entry, BaseWhenLoaded(lock, digest));
      if (entry != nullptr) return Take(*entry);
      if (!known_bases_.contains(digest)) break;
    }
    RETURN_IF_ERROR(LoadBase(digest, {}).status());
  }
  if (digest.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_BASE_MISMATCH",
                 "the adapter does not say which base it was trained on, and not exactly one base "
                 "is loaded; give base_digest");
  }
  return Error(
      absl::StatusCode::kFailedPrecondition, "ADAPTER_BASE_MISMATCH",
      absl::StrCat("the adapter was trained on base ", facts.base.empty() ? digest : facts.base,
                   contradicts ? ", not on " + wanted : ", which is not loaded"));
}

absl::StatusOr<int64_t> LoadedModels::AdapterBytes(const std::string& digest) const {
  const absl::StatusOr<Manifest> manifest = blobs_.ReadManifest(digest);
  if (manifest.ok() && manifest->Find(llm::kAdapterConfigFile) != nullptr)
    return manifest->TotalSize();
  if (manifest.ok()) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(digest, " is not an adapter but a folder of kind ", manifest->kind));
  }
  if (manifest.status().code() == absl::StatusCode::kNotFound) return manifest.status();
  return Error(
      absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
      absl::StrCat(digest, " is not an adapter: ", ToAbsl(ToStd(manifest.status().message()))));
}

// Brings an adapter into its base's engine and its facts into the table.
absl::Status LoadedModels::ReadAdapter(const std::string& digest, const std::string& base_digest) {
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
  // Until the adapter is in the table, its base is held like that of a request.
  ASSIGN_OR_RETURN(const ModelLease lease, LeaseBase(facts, base_digest));
  RETURN_IF_ERROR(lease.engine().LoadAdapter(digest, folder));
  const int64_t bytes = lease.engine().AdapterBytes(digest);
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(digest);
  if (bytes > 0) entry.info.bytes = bytes;  // Until now: of its files.
  entry.base = lease.base_;
  entry.info.base_digest = lease.digest();
  entry.info.architecture = lease.base().architecture;
  entry.info.context_length = lease.base().context_length;
  entry.info.rank = facts.rank;
  return absl::OkStatus();
}

absl::StatusOr<ModelInfo> LoadedModels::LoadAdapter(const std::string& digest,
                                                    const std::vector<std::string>& aliases,
                                                    bool pinned, const std::string& base_digest,
                                                    const Patience& patience) {
  if (!IsDigest(digest)) {
    return Error(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("'", digest, "' is not sha256:<64 hex digits>"),
        {.reason = "FIELD_INVALID", .violations = {{"digest", "must be sha256:<64 hex digits>"}}});
  }
  PutAwayUnused();
  const absl::StatusOr<int64_t> bytes = AdapterBytes(digest);
  std::vector<Claim> claims;
  {
    std::unique_lock lock(mutex_);
    ASSIGN_OR_RETURN(Entry * there, WaitUntilLoaded(lock, digest, patience));
    if (there != nullptr) {
      SetAliases(*there, aliases);
      there->info.pinned |= pinned;
      return there->info;
    }
    RETURN_IF_ERROR(bytes.status());
    ASSIGN_OR_RETURN(claims, MakeRoomForAdapter(*bytes));
    entries_[digest].info = {.digest = digest, .kind = ModelKind::kAdapter, .bytes = *bytes};
  }
  absl::Cleanup give_up = [&] { Remove(digest); };
  PutAway(std::move(claims));
  RETURN_IF_ERROR(ReadAdapter(digest, base_digest));
  std::move(give_up).Cancel();
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(digest);
  entry.info.state = ModelState::kReady;
  entry.info.pinned = pinned;
  entry.touched = entry.info.last_used = clock_.Now();
  SetAliases(entry, aliases);
  changed_.notify_all();
  return entry.info;
}

}  // namespace crossover::inference
