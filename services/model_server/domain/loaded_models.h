// The bases and adapters in memory, by digest and by name.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/time/clock.h"
#include "services/model_server/domain/engine.h"
#include "services/model_server/domain/model_directory.h"
#include "services/model_server/domain/patience.h"

namespace crossover::inference {

enum class ModelKind { kBase, kAdapter };
enum class ModelState { kLoading, kReady, kUnloading };

struct ModelInfo {
  std::string digest;
  ModelKind kind = ModelKind::kBase;
  std::vector<std::string> aliases;  // Sorted.
  int64_t bytes = 0;
  ModelState state = ModelState::kLoading;
  bool pinned = false;
  int64_t in_flight = 0;
  absl::Time last_used = absl::InfinitePast();
  std::string base_digest;  // Of an adapter.
  std::string architecture;
  int64_t context_length = 0;
  int32_t rank = 0;
};

class LoadedModels;

// The right to use a model; it stays in memory until the lease ends. Movable; usable from any
// thread.
class ModelLease {
 public:
  ModelLease() = default;
  ModelLease(ModelLease&& other) noexcept;
  ModelLease& operator=(ModelLease&& other) noexcept;
  ~ModelLease();

  const LoadedBase& base() const { return *base_; }
  GenerationEngine& engine() const { return *base_->engine; }
  // The adapter's key in the engine; "" for the base itself.
  const std::string& adapter() const { return adapter_; }
  // What answers: the adapter's digest, or the base's.
  const std::string& digest() const { return digest_; }

 private:
  friend class LoadedModels;
  void End();

  LoadedModels* owner_ = nullptr;
  std::shared_ptr<LoadedBase> base_;
  std::string adapter_;
  std::string digest_;
};

struct LoadedModelsOptions {
  // Bases kept at once; another one takes the place of the one unused for longest, whose adapters
  // go with it.
  int max_bases = 2;
  // Adapters kept at once, and bytes that they take in memory together (0: any); another one, which
  // counts as its files until it is read, takes the place of those unused for longest.
  int max_adapters = 64;
  int64_t adapter_bytes = 0;
  // Adapters are laid out here while they are read.
  std::filesystem::path scratch;
  // A name is looked up in the directory again after this long, because names move.
  absl::Duration name_ttl = absl::Seconds(10);
  // A directory that could not be asked is left alone for this long, because asking may block.
  absl::Duration directory_rest = absl::Seconds(2);
  // Calls of Acquire that may be reading models, or waiting for one, at once while one of them is a
  // base, which takes long: fewer than there are threads that call it, so that requests for what is
  // in memory always find one.
  int max_waiting = 1000;
};

// Thread-safe. Borrows everything; its destructor waits for the leases to end. Two requests for a
// model that is not there load it once.
class LoadedModels {
 public:
  // `directory` may be null: then only what was loaded by LoadBase and LoadAdapter has names.
  LoadedModels(LoadedModelsOptions options, BaseLoader& loader, BlobStore& blobs,
               ModelDirectory* directory, Clock& clock);
  ~LoadedModels();

  // A model by base name, alias, `ft:…` name, resource name or `sha256:…`; an adapter that is not
  // in memory is loaded by digest, with its base; one that is leaving stays. NOT_FOUND
  // `MODEL_NOT_FOUND` names what is known; UNAVAILABLE `SERVICE_UNAVAILABLE` at once if it is not
  // in memory, a base is being read and max_waiting calls wait already; errors of Patience::Check
  // while another thread reads it; errors of LoadBase and LoadAdapter.
  absl::StatusOr<ModelLease> Acquire(std::string_view model, const Patience& patience = {});

  // Blocks until the model is READY; loading what is there already only adds the aliases. A name
  // moves from its former model. RESOURCE_EXHAUSTED `BASES_IN_USE` when every place is busy.
  absl::StatusOr<ModelInfo> LoadBase(const std::string& digest,
                                     const std::vector<std::string>& aliases,
                                     const Patience& patience = {});
  // `base_digest` "": the base the adapter names in its configuration, or the only one loaded.
  // NOT_FOUND `BLOB_NOT_FOUND`; FAILED_PRECONDITION `ADAPTER_BASE_MISMATCH`; INVALID_ARGUMENT
  // `FORMAT_INVALID`; RESOURCE_EXHAUSTED `ADAPTER_IN_USE` when every place is pinned or busy.
  absl::StatusOr<ModelInfo> LoadAdapter(const std::string& digest,
                                        const std::vector<std::string>& aliases, bool pinned,
                                        const std::string& base_digest,
                                        const Patience& patience = {});
  // Its names are forgotten, and it goes when the last request in flight has ended, unless it is
  // asked for by digest before that. Waits for an adapter that is being loaded. FAILED_PRECONDITION
  // `ADAPTER_IN_USE` if it is pinned, INVALID_ARGUMENT `FIELD_INVALID` for a base.
  absl::StatusOr<ModelInfo> UnloadAdapter(std::string_view model);
  // INVALID_ARGUMENT `FIELD_INVALID` for a base.
  absl::StatusOr<ModelInfo> PinAdapter(std::string_view model, bool pinned);

  // Bases first, then adapters, last used first.
  std::vector<ModelInfo> List() const;
  // Sum over the engines; stalled_seconds the longest of them.
  llm::EngineStats Stats() const;

 private:
  friend class ModelLease;
  struct Entry {
    ModelInfo info;
    std::shared_ptr<LoadedBase> base;  // Null while it loads.
    absl::Time touched;                // When it was loaded or its last lease ended.
    bool claimed = false;              // A thread puts it away; no other may.
    bool forget_names = false;         // When it goes: it could not be loaded.
  };
  // What one thread has taken on to put away.
  struct Claim {
    std::string digest;
    ModelKind kind = ModelKind::kAdapter;
    std::shared_ptr<LoadedBase> base;
  };
  // What an adapter's configuration says.
  struct AdapterFacts {
    int32_t rank = 0;
    std::string base;  // A digest, or "" if it says no digest.
  };
  struct DirectoryFailure {
    absl::Duration when;
    absl::Status status;
  };

  absl::Status LookUp(const std::string& name, const Patience& patience);
  absl::Status RememberFailure(const absl::Status& status);
  void Release(const std::string& digest);
  absl::Status NotFound(std::string_view model) const;

  // With the lock held:
  Entry* Find(std::string_view model);
  void SetAliases(Entry& entry, const std::vector<std::string>& aliases);
  void ForgetNames(Entry& entry);
  bool NeedsLookUp(const std::string& name) const;
  bool ReadsBase() const;
  std::string DigestOfName(const std::string& name) const;
  Claim ClaimEntry(Entry& entry);
  std::vector<Claim> ClaimUnused();
  bool IsIdle(const Entry& base) const;
  absl::Time LastUse(const Entry& base) const;
  absl::StatusOr<std::vector<Claim>> MakeRoomForBase();
  absl::StatusOr<std::vector<Claim>> MakeRoomForAdapter(int64_t bytes);
  absl::StatusOr<Entry*> WaitUntilLoaded(std::unique_lock<std::mutex>& lock,
                                         const std::string& digest, const Patience& patience);
  Entry* FindWhenLoaded(std::unique_lock<std::mutex>& lock, std::string_view model);
  absl::StatusOr<Entry*> BaseWhenLoaded(std::unique_lock<std::mutex>& lock,
                                        const std::string& digest);

  // Without it:
  void PutAway(std::vector<Claim> claims);
  void PutAwayUnused();
  void Remove(const std::string& digest);
  absl::StatusOr<ModelLease> AcquireSlowly(std::string_view model, const std::string& name,
                                           const Patience& patience);
  absl::StatusOr<ModelLease> LeaseBase(const AdapterFacts& facts, const std::string& wanted);
  absl::StatusOr<int64_t> AdapterBytes(const std::string& digest) const;
  absl::Status ReadAdapter(const std::string& digest, const std::string& base_digest);

  ModelLease Take(Entry& entry);

  const LoadedModelsOptions options_;
  BaseLoader& loader_;
  BlobStore& blobs_;
  ModelDirectory* const directory_;
  Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry, std::less<>> entries_;         // By digest.
  std::map<std::string, std::string, std::less<>> by_alias_;  // To digest.
  std::set<std::string, std::less<>> known_bases_;            // That were READY once.
  std::map<std::string, absl::Duration> looked_up_;           // When a name was last asked for.
  std::optional<DirectoryFailure> directory_failure_;
  int64_t scratch_count_ = 0;
  int waiting_ = 0;  // In AcquireSlowly.
};

}  // namespace crossover::inference
