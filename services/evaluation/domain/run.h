// Systems asked on a suite, their answers and results.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/stats/interval.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

// One answer of one system to one row: asked once and kept for good, unless it was an error.
struct Answer {
  std::string suite_digest;
  std::string row_digest;
  std::string system_digest;
  int repeat = 0;
  std::string run;  // id of the run that asked
  std::string output;
  std::string finish_reason;
  std::string error;  // reason; empty = there is an output
  Usage usage;
  double cost = 0;  // USD; 0 where no price is known
  bool cost_known = false;
  double latency_seconds = 0;
  double first_token_seconds = 0;
  bool cached = false;  // a cache gave the whole answer: its latency counts nowhere
  std::string revision;
  absl::Time time;
};

// An error of another run is asked again; everything else is asked once.
inline bool IsReusable(const Answer& answer, const std::string& run_id) {
  return answer.error.empty() || answer.run == run_id;
}

enum class RunState { kQueued, kRunning, kPaused, kSucceeded, kFailed, kCancelled };
const char* Name(RunState state);  // "QUEUED" …
inline bool IsTerminal(RunState state) { return state >= RunState::kSucceeded; }

struct NamedScore {
  std::string name;
  stats::Interval score;
};

struct GraderResult {
  std::string grader;
  stats::Interval score;     // mean; repeats are averaged per row first
  stats::Interval accuracy;  // share of answers that pass, averaged per row
  int64_t passed = 0;        // rows that pass by more than half of their answers
  int64_t rows = 0;
  stats::Interval passed_share;    // Wilson's interval of passed / rows
  std::vector<NamedScore> slices;  // worst first
  std::vector<NamedScore> fields;  // worst first
};

// Seconds, over answers that no cache gave.
struct Latency {
  stats::Interval p50, p90, p99, ttft_p50, mean;
};

struct SystemResult {
  std::string system_digest;
  std::string display_name;
  std::vector<GraderResult> graders;
  Usage usage;
  double cost = 0;
  std::optional<stats::Interval> cost_per_request;  // absent where no price is known
  std::string cost_explanation;                     // measured tokens at whose declared price
  Latency latency;
  stats::Interval
      consistency;  // share of rows whose repeats all say the same; meaningful from 2 repeats on
  stats::Interval pass_all;  // share of rows whose repeats are all right (pass^k)
  std::optional<stats::Interval> format_valid;
  std::optional<stats::Interval> format_valid_unfenced;
  std::map<std::string, int64_t> errors;
  double prompt_tokens = 0;  // mean of a request
  int64_t answers = 0;
  int64_t cached_answers = 0;
};

struct Run {
  std::string id;
  std::string project;
  std::string suite_version;
  std::string suite_digest;
  std::string task;
  std::vector<System> systems;  // resolved, the baseline first
  std::vector<Prices> prices;   // of the systems, when the run was made
  int repeats = 5;
  double cost_cap = 0;    // USD; 0 = none
  double half_width = 0;  // stop rule; 0 = ask all
  int concurrency = 8;
  std::map<std::string, std::string> labels;
  RunState state = RunState::kQueued;
  std::string state_reason;
  std::vector<SystemResult> results;
  int64_t answers_done = 0;
  int64_t answers_total = 0;
  int64_t answers_reused = 0;
  double cost = 0;
  double eta_seconds = 0;
  absl::Time create_time;
  absl::Time update_time;
  std::optional<absl::Time> finish_time;
  int64_t version = 0;  // etag

  std::string name() const { return project + "/runs/" + id; }
};

}  // namespace crossover::evaluation
