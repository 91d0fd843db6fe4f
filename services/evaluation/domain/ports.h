// What evaluation needs from the rest of the house. Implementations lie in clients/; tests have
// fakes. All are thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/dataset/row.h"
#include "services/evaluation/domain/case_file.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/suite.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

// What a system said to one row.
struct Reply {
  std::string output;
  std::string finish_reason;
  Usage usage;
  double latency_seconds = 0;      // from sending to the last token
  double first_token_seconds = 0;  // 0 = unknown
  bool cached = false;             // the whole answer came from a cache
  std::string revision;            // digest or system_fingerprint
};

// The row's own fault: it does not fit the model, a content filter refused it, or it is no chat.
bool BelongsToRow(const absl::Status& status);
// The system may answer later: away, overloaded, too slow.
bool MayBeTriedAgain(const absl::Status& status);

// Asks systems.
class SystemRunner {
 public:
  virtual ~SystemRunner() = default;

  struct Resolved {
    System system;  // digests pinned
    Prices prices;
  };
  // Pins what names stand for; the prices are those of `project`. NotFound for an unknown prompt,
  // model or upstream.
  virtual absl::StatusOr<Resolved> Resolve(const std::string& project, const System& system) = 0;

  // Blocks. An error that BelongsToRow becomes an answer without output; one that MayBeTriedAgain
  // pauses the run when it does not pass; any other fails the run: it would be the same for every
  // row, and no number may be made of it.
  virtual absl::StatusOr<Reply> Ask(const System& system, const SuiteRow& row, int repeat) = 0;
};

// Reads sealed data sets.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Rows of one split in stored order. NotFound DATASET_VERSION_UNKNOWN.
  virtual absl::StatusOr<std::vector<dataset::Row>> Rows(const std::string& dataset_version,
                                                         const std::string& split) = 0;
};

// What "a month" means wherever a daily volume becomes a monthly one.
inline constexpr double kDaysPerMonth = 30;

// What is declared about a task, and the prices that apply.
struct TaskRecord {
  std::string name;
  std::string owner;
  std::string retraining_plan;
  std::optional<double> target_score;
  std::optional<double> target_latency_p50;  // seconds
  bool has_output_contract = false;
  double requests_per_day = 0;  // 0 = not declared
  double tokens_per_month = 0;  // 0 = not declared
  std::optional<double> developer_hours;
  std::optional<double> labelling_cost;      // USD
  std::optional<double> monthly_operations;  // USD
  std::optional<double> monthly_spend;       // USD
  std::optional<absl::Time> prompt_unchanged_since;
  bool knowledge_changes = false;
  bool deep_reasoning = false;
  std::optional<bool> urgent;  // absent = not said
  std::optional<double> horizon_months;
  std::vector<std::string> symptoms;
  Prices serving;                        // of the project's own machines
  std::optional<double> device_hour;     // USD
  std::optional<double> developer_hour;  // USD
};

// The price of tokens on our own machines: the project's declared price list, else what the
// declared monthly spend and tokens come to a token. Unknown where neither is declared.
Prices ServingPrices(const TaskRecord& task);

// What the registry knows of a prompt version.
struct PromptRecord {
  int64_t examples = 0;
  std::optional<absl::Time> active_since;
};

// Facts that other rooms own.
class FactSource {
 public:
  virtual ~FactSource() = default;
  virtual absl::StatusOr<TaskRecord> Task(const std::string& task) = 0;
  virtual absl::StatusOr<PromptRecord> Prompt(const std::string& prompt_version) = 0;
  // `dataset_version` empty: the current one of the task's newest data set; nullopt if there is
  // none.
  virtual absl::StatusOr<std::optional<DataEvidence>> Data(const std::string& task,
                                                           const std::string& dataset_version) = 0;
};

}  // namespace crossover::evaluation
