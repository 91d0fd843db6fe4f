// The life of prompt versions: DRAFT -> ACTIVE -> RETIRED (and ACTIVE again by Activate or
// Rollback).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "services/registry/domain/registry_store.h"

namespace crossover::registry {

// Thread-safe. Borrows the store.
class PromptRegistry {
 public:
  explicit PromptRegistry(RegistryStore& store) : store_(store) {}

  // Stores `version` (prompt, spec as JSON, parent, note, labels) under the digest of its spec. The
  // parent, if named, must be a version of the same prompt; without one it is the newest version.
  // FailedPrecondition STATE_INVALID if the task is archived.
  absl::StatusOr<PromptVersion> Create(PromptVersion version, bool validate_only);

  // FailedPrecondition PROMPT_NOT_EVALUATED without an evaluation or a reason to do without;
  // InvalidArgument FIELD_INVALID if `evaluation` is no name of a run or comparison.
  absl::StatusOr<PromptVersion> Activate(const PromptKey& prompt, const std::string& digest,
                                         const std::string& evaluation,
                                         const std::string& override_reason);

  // Brings back `digest`, or the version that was in use before ("" ). InvalidArgument
  // FIELD_REQUIRED without a reason, FailedPrecondition STATE_INVALID if there is nothing to go
  // back to.
  absl::StatusOr<PromptVersion> Rollback(const PromptKey& prompt, const std::string& digest,
                                         const std::string& reason);

 private:
  absl::Status CheckTaskIsActive(const PromptKey& prompt);

  RegistryStore& store_;
};

// Canonical form and digest of a spec given as JSON. InvalidArgument PROMPT_INVALID.
struct CanonicalSpec {
  std::string json;
  std::string digest;
};
absl::StatusOr<CanonicalSpec> Canonicalise(const std::string& spec);

}  // namespace crossover::registry
