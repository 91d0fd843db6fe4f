// The verdict, and the order in which it is reached.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/gate_thresholds.h"
#include "services/evaluation/domain/recommendation.h"
#include "services/evaluation/domain/return_on_investment.h"

namespace crossover::evaluation {

// One of the five questions.
struct Answer5 {
  std::string question;
  std::string answer;
  std::vector<std::string> inputs;  // digests and names it rests on
};

// What to try before training.
struct Alternative {
  std::string symptom;
  std::string remedy;
  Recommendation recommendation = Recommendation::kPrompt;
};

struct Verdict {
  Recommendation recommendation = Recommendation::kWait;
  std::vector<std::string> reasons;  // the step of the order that decided comes first
  std::vector<std::string> warnings;
  std::vector<Evidence> evidence;  // necessary, then sufficient
  ReturnOnInvestment roi;
  bool roi_known = false;
  std::vector<Alternative> alternatives;  // remedies of the declared symptoms
  std::vector<Answer5> questions;         // the five every verdict answers
  std::vector<std::string> next_steps;
  std::map<std::string, double> thresholds;  // all that applied
};

// In this order: (1) necessary evidence unknown -> WAIT, not met -> PROMPT with the remedy; (2)
// knowledge that changes or reasoning depth -> PROMPT; (3) under 1 M tokens a month without a
// quality or SLA trigger -> PROMPT; (4) trigger and payback within 3 months -> FINE_TUNE; (5)
// trigger and longer payback -> HYBRID; (6) a gap that is not urgent within the model horizon
// -> WAIT; else PROMPT. Where the saving is never positive there is no payback, so (4) and (5) do
// not apply: (6) does, else a quality or SLA trigger can be bought -> HYBRID, and cost triggers
// have nothing to gain. With changing parts in the prompt, (4) gives HYBRID: tuned for the stable
// part.
Verdict Decide(const CaseFile& file, const GateThresholds& thresholds);

// What a decision may rest on. Empty members: the newest of the task.
struct DecisionInputs {
  std::string ladder;
  std::string dataset_version;
  std::string comparison;
  std::map<std::string, double> thresholds;  // overrides by name
};

enum class DecisionState { kOpen, kSigned, kVetoed, kReopened };
const char* Name(DecisionState state);

// The verdict as a resource: projects/*/tasks/*/decisions/{id}.
struct Decision {
  std::string id;
  std::string task;  // projects/*/tasks/*
  DecisionInputs inputs;
  Verdict verdict;
  std::vector<Waiver> waivers;
  DecisionState state = DecisionState::kOpen;
  std::string signed_by;
  std::string sign_reason;
  std::optional<absl::Time> sign_time;
  std::string trigger;
  std::map<std::string, std::string> labels;
  absl::Time create_time;
  absl::Time update_time;
  int64_t version = 0;

  std::string name() const { return task + "/decisions/" + id; }
};

// The published rule of thumb, from volume, gap and money alone. The published TypeScript divides
// the saving by 3 once too often (payback = one_time / (saving / 3), as if a quarter's saving were
// given); here payback = one_time / saving per month.
struct StrategyProfile {
  double tokens_per_month = 0;
  bool knowledge_changes = false;
  bool complex_reasoning = false;
  double accuracy_gap = 0;  // target - best prompt, in [0,1]
  double one_time_cost = 0;
  double saving_per_month = 0;
};
Recommendation RecommendStrategy(const StrategyProfile& profile,
                                 const GateThresholds& thresholds = {});

}  // namespace crossover::evaluation
