// What the evidence of one comparison says: every test of an experiment, valid at every look.
//
// theta = E[loss(candidate) - loss(primary)] in improvement mode; E[1[candidate differs] - 1[second
// primary answer differs]] in equivalence mode. Positive: the candidate is worse (or differs by
// more than the primary's own noise).
//
// alpha of the whole experiment is split: half for a wrong promotion (upper bound of theta), half
// for a wrong rollback, the latter divided evenly over the harm tests: lower bound of theta,
// McNemar, and each gate. Ville's inequality holds per test, the union bound over them, so watching
// as often as one likes costs nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/stats/arm_of_event.h"
#include "common/stats/bernstein_sequence.h"
#include "common/stats/difference_sequence.h"
#include "common/stats/interval.h"
#include "common/stats/sequential_mcnemar.h"
#include "services/shadow_router/domain/books.h"
#include "services/shadow_router/domain/experiment.h"

namespace crossover::router {

// What of a pair enters the tests.
struct PairFacts {
  int64_t sequence = 0;  // Order of storage.
  std::string cluster;
  bool self_compare = false;
  Validity validity = Validity::kValid;
  bool agree = false;
  std::optional<bool> secondary_differs;
  std::optional<bool> candidate_differs_from_reference;
  std::optional<bool> other_differs_from_reference;
  absl::Duration primary_latency, candidate_latency;
  // Zero where the two can't be compared: a call failed, or (ttft) one answer was streamed and the
  // other was not.
  absl::Duration primary_ttft, candidate_ttft;
  std::string primary_fingerprint, candidate_fingerprint;
};

// What of a grade enters the tests.
struct GradeFacts {
  int64_t sequence = 0;
  std::string pair;
  std::string cluster;
  bool self_compare = false;
  Validity validity = Validity::kValid;
  GradeSource source = GradeSource::kLabel;
  double primary_loss = 0;
  double candidate_loss = 0;
};

struct TestReport {
  std::string name;  // "quality.lower", "quality.mcnemar", "gate.error" …
  bool harm = true;  // Ends the experiment when fired; otherwise shown only.
  bool fired = false;
  double alpha = 0;    // Its share.
  double p_value = 1;  // Always-valid; 1 for tests that are bounds.
  std::string words;   // "5 of 40 errors fell on the candidate at 5 % of the traffic".
};

struct Verdict {
  stats::Interval theta;      // At level 1 - alpha.
  stats::Interval agreement;  // Share of valid pairs on which the comparator calls both equal.
  stats::Interval
      noise;          // Share of double-sampled requests on which the primary differs from itself.
  int64_t pairs = 0;  // Valid ones.
  int64_t deciding = 0;  // Of them, those that carry the deciding quantity; one per cluster.
  int64_t calibration_pairs = 0;
  std::map<Validity, int64_t> uncounted;  // Pairs that are not valid, by why.
  bool calibration_fired = false;
  bool quality_ok = false;  // upper(theta) < margin.
  bool roll_back = false;   // A harm test fired.
  std::map<GradeSource, stats::Interval>
      by_source;  // theta per source of grades, each with its own sequence.
  std::vector<TestReport> tests;
  // Deciding pairs still needed for upper(theta) < margin at the present estimate; nullopt if it
  // won't come.
  std::optional<int64_t> pairs_needed;
};

nlohmann::json ToJson(const Verdict& verdict);

// Not thread-safe. O(clusters) memory, everything else O(1). Facts are fed in the order of storage,
// each once.
class Evidence {
 public:
  explicit Evidence(const Experiment& experiment);

  void Add(const PairFacts& pair);
  void Add(const GradeFacts& grade);
  // Counts of now, by canary weight. What is new since the last call enters the tests, the
  // reference's events first, so that the order within one look cannot make a test fire that the
  // whole does not.
  void SetArms(const std::map<int, ArmCounts>& by_weight);

  Verdict Judge() const;

 private:
  // What the deciding quantity is watched with.
  struct Quality {
    explicit Quality(double alpha, double harm_alpha) : shown(alpha), harm(2 * harm_alpha) {}
    stats::DifferenceSequence shown;  // Both sides at alpha/2: promotion, and what people see.
    stats::DifferenceSequence harm;   // Lower side at the harm tests' share.
    void AddLosses(double candidate, double primary);
    void AddDifferences(bool candidate, bool other);
  };
  struct GateState {
    Gate gate;
    stats::ArmOfEvent arms;                     // Metrics of bad events.
    stats::SequentialMcNemar slower;            // Latency and TTFT: sign test on paired ratios.
    absl::flat_hash_set<std::string> clusters;  // Seen by `slower`.
  };
  struct SourceState {
    explicit SourceState(double alpha) : theta(alpha) {}
    stats::DifferenceSequence theta;
    absl::flat_hash_set<std::string> clusters;
  };

  bool FirstOfCluster(absl::flat_hash_set<std::string>& seen, const std::string& cluster) {
    return cluster.empty() || seen.insert(cluster).second;
  }
  void AddLatency(const PairFacts& pair);
  void JudgeQuality(Verdict& verdict) const;
  void JudgeGates(Verdict& verdict) const;
  void JudgeCalibration(Verdict& verdict) const;

  const QualityMode mode_;
  const GradeSource deciding_source_;
  const double margin_;
  const double alpha_;
  const double harm_alpha_;
  Quality quality_;
  stats::DifferenceSequence calibration_;
  stats::BernsteinSequence agreement_;
  stats::BernsteinSequence noise_;
  std::vector<GateState> gates_;
  std::map<GradeSource, SourceState> sources_;
  absl::flat_hash_set<std::string> clusters_;  // Seen by the deciding quantity.
  absl::flat_hash_set<std::string> calibration_clusters_;
  absl::flat_hash_set<std::string> agreement_clusters_;
  absl::flat_hash_set<std::string> noise_clusters_;
  std::map<int, ArmCounts> arms_;
  int64_t pairs_ = 0;
  int64_t calibration_pairs_ = 0;
  std::map<Validity, int64_t> uncounted_;
};

}  // namespace crossover::router
