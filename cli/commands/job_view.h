// Jobs as people see them: a line that moves, and what is left at the end. Used by tune, jobs and
// adapter export.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/context.h"
#include "cli/output/table.h"
#include "crossover/scheduler/v1/job.pb.h"

namespace crossover::cli {

// "[████▌     ] 46.0 %  step 115/250  loss 0.412  valid 0.398  512 tokens/s  eta 5 min 20 s"
std::string ProgressText(const ::crossover::scheduler::v1::Job& job, bool unicode);

// Follows a job until it ends; returns its last state. Progress and notes go to stderr; with --json
// every item of the stream is a line on stdout. On Ctrl-C says how to come back and returns
// CANCELLED `CLI_INTERRUPTED`; the job goes on.
absl::StatusOr<::crossover::scheduler::v1::Job> FollowJob(
    Context& context, const ::crossover::scheduler::v1::Job& job);

// OK if the job has SUCCEEDED; otherwise its error (reason CLI_OUTCOME for CANCELLED).
absl::Status JobOutcome(const ::crossover::scheduler::v1::Job& job);

// Everything about a job.
void PrintJob(Context& context, const ::crossover::scheduler::v1::Job& job);

// The numbers of a resolved spec.
void AddSpec(const ::crossover::scheduler::v1::JobSpec& spec, Details& details);

// A line "2 min, 900 MB, 350,749 tokens, 0.02 USD"; none if nothing is known.
void AddResources(std::string name, const ::crossover::scheduler::v1::Resources& resources,
                  Details& details);

bool IsTerminal(::crossover::scheduler::v1::Job::State state);

}  // namespace crossover::cli
