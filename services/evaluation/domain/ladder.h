// Prompts of rising effort on the same DEV rows, until one meets the target or more effort stops
// paying.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/scored_rows.h"

namespace crossover::evaluation {

enum class RungKind {
  kUnspecified,
  kSystemPrompt,
  kFewShot,
  kStructuredOutput,
  kStepByStep,
  kDecomposed,
  kRetrieval,
  kLargerModel,
  kFineTuned
};
const char* Name(RungKind kind);  // "zero-shot", "few-shot" …

struct Rung {
  RungKind kind = RungKind::kUnspecified;
  System system;
  std::optional<stats::Interval> dev;
  std::optional<stats::Interval> gain;  // paired, over the best rung before it
  std::optional<double> cost_per_request;
  std::optional<stats::Interval> test;  // of the chosen one only
  std::string run;
  std::optional<stats::Interval> format_valid;
  std::optional<stats::Interval> latency_p50;
  double prompt_tokens = 0;
  std::string skipped_reason;
};

enum class LadderState { kRunning, kMet, kCeiling, kNotEnoughEvidence, kCancelled, kFailed };
const char* Name(LadderState state);

struct Ladder {
  std::string id;
  std::string project;
  std::string task;
  std::string dev_suite;
  std::string test_suite;
  std::vector<Rung> rungs;
  Evidence converged;
  int chosen = -1;
  LadderState state = LadderState::kRunning;
  std::string state_reason;
  int repeats = 1;
  double cost_cap = 0;
  bool climb_all = false;
  double convergence_margin = 0.02;
  std::string test_run;
  std::optional<double> target;  // of the task, when the ladder was made
  std::map<std::string, std::string> labels;
  absl::Time create_time;
  absl::Time update_time;
  int64_t version = 0;

  std::string name() const { return project + "/ladders/" + id; }
};

// The measured rung with the best DEV score; -1 = none.
int BestRung(const Ladder& ladder);

// Records a rung's run: its result, and its paired gain over the best measured rung before it
// (absent for the first). `best_before` may be null for the first.
void RecordRung(Ladder& ladder, size_t index, const SystemResult& result,
                const ScoredSystem& scored, const ScoredSystem* best_before);

// What the gate reads of a ladder.
LadderEvidence ToEvidence(const Ladder& ladder);

// After a rung: decides whether to go on, and sets state, chosen and converged when the climb ends.
// Returns the index of the next rung to measure, or -1 at the end.
int NextRung(Ladder& ladder);

}  // namespace crossover::evaluation
