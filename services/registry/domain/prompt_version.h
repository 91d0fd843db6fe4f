// Immutable states of a prompt, and which of them is in use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace crossover::registry {

// Which prompt of which task of which project.
struct PromptKey {
  std::string project;
  std::string task;
  std::string prompt;
};

enum class VersionState { kDraft, kActive, kRetired };
std::string_view Name(VersionState state);  // "DRAFT", …
std::optional<VersionState> VersionStateFromName(std::string_view name);

struct PromptVersion {
  PromptKey prompt;
  std::string digest;  // over the RFC 8785 form of `spec`
  absl::Time create_time;
  absl::Time update_time;
  std::optional<absl::Time> activate_time;
  VersionState state = VersionState::kDraft;
  std::map<std::string, std::string> labels;
  std::string spec;    // canonical JSON, as it was hashed
  std::string parent;  // digest of the version it was made from; "" = none
  std::string note;
  std::string evaluation;       // name of the run that measured it
  std::string override_reason;  // why it went into use unmeasured
};

}  // namespace crossover::registry
