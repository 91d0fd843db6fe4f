// Where the registry's records live. Thread-safe. Implementations: PgRegistryStore,
// FakeRegistryStore; both pass registry_store_conformance_test.
//
// Errors: NotFound RESOURCE_NOT_FOUND, AlreadyExists RESOURCE_EXISTS, Aborted ETAG_MISMATCH,
// InvalidArgument REQUEST_ID_REUSED, FailedPrecondition RESOURCE_IN_USE. The store sets
// create_time, update_time and revision.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/id/request_id.h"
#include "services/registry/domain/api_key.h"
#include "services/registry/domain/prompt_version.h"
#include "services/registry/domain/resource.h"

namespace crossover::registry {

// A page, newest first, after the position of the last item seen ("" = from the newest).
struct PageQuery {
  std::string after;
  int limit = 50;
};

template <typename Record>
struct Page {
  std::vector<Record> records;
  std::vector<std::string> positions;  // one a record, for `after`
};

class RegistryStore {
 public:
  virtual ~RegistryStore() = default;

  // --- Documents. The project (and the task of a prompt) must exist.
  virtual absl::StatusOr<Resource> Create(const Resource& resource, const RequestKey& key) = 0;
  virtual absl::StatusOr<Resource> Get(const ResourceKey& key) = 0;
  // All of a kind in a project; of prompts, those of the task `parent` ("-" = of all tasks).
  // Projects: `project` is ignored.
  virtual absl::StatusOr<Page<Resource>> List(Kind kind, const std::string& project,
                                              const std::string& parent,
                                              const PageQuery& query) = 0;
  // Changes document, state and state_reason of the revision given.
  virtual absl::StatusOr<Resource> Update(const Resource& resource) = 0;
  // RESOURCE_IN_USE: a project that holds anything, a task with prompts, a prompt with a version
  // that is or was in use.
  virtual absl::Status Delete(const ResourceKey& key) = 0;

  // --- Prompt versions
  // The version of this digest is stored once; a repeat gives the stored one.
  virtual absl::StatusOr<PromptVersion> PutVersion(const PromptVersion& version) = 0;
  virtual absl::StatusOr<PromptVersion> GetVersion(const PromptKey& prompt,
                                                   const std::string& digest) = 0;
  virtual absl::StatusOr<Page<PromptVersion>> ListVersions(const PromptKey& prompt,
                                                           const PageQuery& query) = 0;
  // The version becomes ACTIVE, the one that was, RETIRED; in one transaction, noted in the
  // history. An empty `evaluation` leaves the one that the version has.
  virtual absl::StatusOr<PromptVersion> Activate(const PromptKey& prompt, const std::string& digest,
                                                 const std::string& evaluation,
                                                 const std::string& override_reason) = 0;
  // Digests in the order in which they came into use, newest first, without repeats.
  virtual absl::StatusOr<std::vector<std::string>> ActivationHistory(const PromptKey& prompt) = 0;
  // Digests of the active and of the newest version; "" if there is none.
  struct Heads {
    std::string active;
    std::string latest;
  };
  virtual absl::StatusOr<Heads> HeadsOf(const PromptKey& prompt) = 0;

  // --- Keys
  virtual absl::StatusOr<ApiKey> CreateKey(const ApiKey& key, const RequestKey& request) = 0;
  virtual absl::StatusOr<ApiKey> GetKey(const std::string& project, const std::string& id) = 0;
  virtual absl::StatusOr<Page<ApiKey>> ListKeys(const std::string& project,
                                                const PageQuery& query) = 0;
  virtual absl::StatusOr<ApiKey> UpdateKey(const ApiKey& key) = 0;
  // The key whose secret, or former secret, has this hash, in whatever state.
  virtual absl::StatusOr<ApiKey> FindKey(const std::string& secret_hash) = 0;
  // Whether any key of any project opens at `now`: neither revoked nor expired.
  virtual absl::StatusOr<bool> AnyKeyOpens(absl::Time now) = 0;
};

}  // namespace crossover::registry
