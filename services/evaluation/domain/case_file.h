// Everything a verdict is made from. What is absent is unknown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/stats/interval.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/return_on_investment.h"

namespace crossover::evaluation {

// What measuring the ladder has shown.
struct LadderEvidence {
  struct Rung {
    std::string kind;  // "zero_shot", "few_shot", "structured_output" …
    std::string name;
    stats::Interval score;
    double cost_per_request = 0;  // USD
  };
  std::vector<Rung> rungs;  // as tried
  int best = -1;            // index of the best; -1 = none
  // Paired gain of the last iteration over the one before, and of that one over its predecessor;
  // absent with fewer.
  std::vector<stats::Interval> last_gains;
  std::vector<std::string> inputs;  // runs and suites
};

// What the data holds.
struct DataEvidence {
  Fact<int64_t> clean_rows;
  std::optional<Fact<double>> agreement;     // alpha or kappa, where two labels exist
  std::optional<Fact<bool>> annotator_bias;  // a systematic one was found
  std::optional<Fact<stats::Interval>> label_errors;
  std::optional<Fact<stats::Interval>> coverage;
  std::optional<Fact<int64_t>> thinnest_label_rows;  // rows of the rarest label with enough traffic
  std::vector<std::string> inputs;
};

// The nature of the task, declared by its owner.
struct TaskFacts {
  std::optional<Fact<std::string>> owner;
  std::optional<Fact<std::string>> retraining_plan;
  std::optional<Fact<int64_t>> task_count;      // output schemas or label sets in one prompt
  std::optional<Fact<double>> prompt_age_days;  // since the prompt last changed
  std::optional<Fact<double>> tokens_per_month;
  std::optional<Fact<double>> requests_per_day;
  std::optional<Fact<bool>> changing_knowledge;
  std::optional<Fact<bool>> deep_reasoning;
  std::optional<Fact<bool>> urgent;                  // the gap cannot wait for the next base model
  std::optional<Fact<double>> model_horizon_months;  // when that is expected
  bool changing_part = false;  // a part of the prompt changes often: hybrid keeps it in the prompt
  // A person's confirmation of large, fixed reasons to waive: on-device, regulated determinism …
  std::vector<std::string> symptoms;  // names of Remedies()
};

// What the prompt in use does today.
struct PromptFacts {
  std::optional<Fact<double>> target_score;
  std::optional<Fact<stats::Interval>> latency_ms;      // average; held against the threshold
  std::optional<Fact<stats::Interval>> latency_p50_ms;  // median; held against a declared target
  std::optional<Fact<double>> latency_p50_target_ms;
  std::optional<Fact<stats::Interval>> format_errors;  // share of answers
  std::optional<Fact<double>> prompt_tokens;
  std::optional<Fact<int64_t>> examples;
  std::optional<Fact<double>> spend_per_month;  // USD
};

struct CaseFile {
  std::string task;
  std::optional<LadderEvidence> ladder;
  std::optional<DataEvidence> data;
  TaskFacts facts;
  PromptFacts prompt;
  // Measured (paired, tuned - best prompt) or projected gain; where absent the gap is target - best
  // prompt.
  std::optional<Fact<stats::Interval>> tuned_gain;
  std::optional<Costs> costs;
  // What `costs` needs and nobody has declared or measured, each with the field that declares it;
  // empty where costs are known.
  std::vector<std::string> costs_missing;
  std::vector<Waiver> waivers;
};

}  // namespace crossover::evaluation
