// Two answers to one request, side by side, with everything that is needed to know whether they may
// be compared.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "services/shadow_router/domain/answer.h"
#include "services/shadow_router/domain/comparator.h"
#include "services/shadow_router/domain/grader.h"

namespace crossover::router {

// PRIMARY is the answer of the experiment's reference, CANDIDATE that of the variant under trial,
// whoever of them was served. SECONDARY is a second call to the reference: its own noise.
enum class LegRole { kPrimary, kCandidate, kSecondary };
std::string_view ToString(LegRole role);

struct Leg {
  LegRole role = LegRole::kPrimary;
  std::string variant;
  bool served = false;  // The user saw this answer.
  CallStatus status = CallStatus::kOk;
  int http_status = 0;
  std::string error;
  std::string output;         // Redacted; empty where the task's data policy keeps no text.
  std::string output_digest;  // Of the answer before redaction.
  bool output_is_complete =
      false;  // `output` is the unredacted answer: late labels can be graded against it.
  Usage usage;
  double cost_usd = 0;
  bool streamed = false;
  absl::Duration ttft;
  absl::Duration latency;
  std::string finish_reason;
  std::string system_fingerprint;
  bool format_valid = true;  // Against the task's output contract; true if it has none.
};

// Whether the reference's answer can stand as the truth of this request. Only VALID pairs enter a
// decision. A candidate that was cut, filtered or failed is no reason to look away: it is wrong.
enum class Validity {
  kValid,
  kTruncated,
  kCancelled,
  kFiltered,
  kFallback,
  kCached,
  kToolSideEffect
};
std::string_view ToString(Validity validity);

// Everything that makes two pairs comparable. A change of any of it starts a new comparison.
struct Provenance {
  int64_t config_version = 0;
  std::string primary_system;  // SystemDigest
  std::string candidate_system;
  std::string primary_prompt;  // Digest of the prompt version; empty if none.
  std::string candidate_prompt;
  std::string comparators;  // Digest of comparators and graders.
  // What the systems and their prompts set (OpenAI parameter to JSON text), where a request left it
  // unset.
  std::map<std::string, std::string> primary_sampling;
  std::map<std::string, std::string> candidate_sampling;

  // What is compared to notice a change. The config version is left out: an unrelated edit changes
  // nothing here; so is the sampling, which the digests of system and prompt cover.
  std::string Key() const;
  bool operator==(const Provenance&) const = default;
};

struct Pair {
  std::string id;
  std::string route;
  std::string experiment;
  int comparison = 0;
  std::string request_id;     // The inference id that the client got; equal to `id`.
  std::string completion_id;  // The served answer's `id`.
  std::string cluster;        // ShortHash of conversation or user.
  std::string trace_id;
  absl::Time time;
  absl::Time minute;          // Of the ledger's row that books it.
  bool self_compare = false;  // Calibration: PRIMARY against SECONDARY, there is no CANDIDATE.
  Provenance provenance;
  std::string input_digest;  // Of the request's messages as they came.
  std::vector<Leg> legs;
  std::vector<ComparisonResult>
      comparisons;                        // PRIMARY against CANDIDATE (SECONDARY if self_compare).
  std::optional<bool> secondary_differs;  // PRIMARY against SECONDARY, where it was called.
  std::optional<bool>
      candidate_differs_from_reference;  // Against a randomly chosen answer of the reference.
  std::optional<bool>
      other_differs_from_reference;  // The reference's other answer against the chosen one.
  std::vector<Grade> grades;
  Validity validity = Validity::kValid;

  const Leg* Find(LegRole role) const;
  // Every answer was kept whole: a label that comes late can be held against it.
  bool Gradable() const;
};

// What the reference's answer allows, whoever was served.
Validity JudgeReference(const Answer& reference);

}  // namespace crossover::router
