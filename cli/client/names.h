// Short names that people type, and the resource names they stand for.
//
//   support               → projects/default/tasks/support, …/datasets/support, …/suites/support,
//   …/routes/support, by place support/main          → projects/default/tasks/support/prompts/main
//   support/main@3f2a     → the version of that prompt whose digest begins with 3f2a
//   rows@sha256:48c2…     → projects/default/datasets/rows/versions/sha256:48c2…
//   06bq3…, ftjob-06bq3…  → projects/default/jobs/06bq3…
// A full resource name is taken as it is.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/context.h"

namespace crossover::cli {

// `{project}/{collection}/{id}` unless `name` is a full name already. CLI_USAGE when it is empty.
absl::StatusOr<std::string> FullName(const Context& context, std::string_view collection,
                                     std::string_view name);

// `name@version` in two parts; version is empty without "@".
struct Versioned {
  std::string name;
  std::string version;
};
Versioned SplitVersion(std::string_view text);

absl::StatusOr<std::string> TaskName(const Context& context, std::string_view text);
// The same, of a task that is there: NOT_FOUND names the one that was probably meant.
absl::StatusOr<std::string> ExistingTaskName(Context& context, std::string_view text);
// `task/prompt`.
absl::StatusOr<std::string> PromptName(const Context& context, std::string_view text);
absl::StatusOr<std::string> JobName(const Context& context, std::string_view text);

// Names of versions. Without "@" the one in use: a prompt's active (else newest), a data set's and
// a suite's newest. A digest may be shortened as long as one version matches. These ask the server.
// NOT_FOUND or CLI_USAGE say what was looked for, and what there is instead.
absl::StatusOr<std::string> PromptVersionName(Context& context, std::string_view text);
absl::StatusOr<std::string> DatasetVersionName(Context& context, std::string_view text);
absl::StatusOr<std::string> SuiteVersionName(Context& context, std::string_view text);

// The id after the last slash.
std::string_view IdOf(std::string_view name);

}  // namespace crossover::cli
