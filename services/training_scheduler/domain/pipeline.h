// Pipelines as plain values, and everything that may happen to one: pure functions of the pipeline
// as it is under its row lock. State machine: docs/state_machines.md.
//
// A pipeline's steps run one after another. A step's resource is a JSON text in which
// `{{steps.ID.output}}`, `{{steps.ID.digest}}` (what follows the output's last '/') and
// `{{steps.ID.created}}` stand for what an earlier step made.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crossover::scheduler {

enum class StepKind { kCurationRun, kJob, kEvaluationRun, kExport };
// Of a pipeline (never PENDING) and of a step.
enum class PipelineState { kPending, kRunning, kSucceeded, kFailed, kCancelled };

std::string_view Name(StepKind kind);
std::string_view Name(PipelineState state);
std::optional<StepKind> ParseStepKind(std::string_view name);
std::optional<PipelineState> ParsePipelineState(std::string_view name);

struct PipelineStep {
  std::string id;  // slug
  StepKind kind = StepKind::kJob;
  std::string resource;  // a JSON object as text, as it was given
  PipelineState state = PipelineState::kPending;
  int32_t attempt = 1;  // rises with every Resume that reaches the step
  bool go_on = false;   // this attempt has yet to make what is `created` go on
  std::string created;  // name of what was created; empty = nothing known
  std::string output;   // name or digest that later steps use; set ⇔ SUCCEEDED
  std::string error;    // FAILED: why. RUNNING: what it waits for, if somebody has to do something
};

struct Pipeline {
  std::string id;  // 26 characters
  std::string project;
  std::map<std::string, std::string> labels;
  std::vector<PipelineStep> steps;
  PipelineState state = PipelineState::kRunning;
  absl::Time create_time;
  absl::Time update_time;
};

inline constexpr size_t kMaxSteps = 50;

// INVALID_ARGUMENT names every field that is wrong: number of steps, ids that are no slugs or not
// unique, resources that are no JSON objects, references to what is not an earlier step.
absl::Status CheckPipeline(const Pipeline& pipeline);

// The step's resource with its references replaced. INTERNAL if a step it refers to has made
// nothing.
absl::StatusOr<std::string> ResourceOf(const Pipeline& pipeline, size_t step);

// The step that something has to be done for now: the one that runs, else, in a RUNNING pipeline,
// the first PENDING one. nullopt: nothing.
std::optional<size_t> DueStep(const Pipeline& pipeline);

// What a runner found out. Each is a no-op (and says so with `false`) unless step and attempt are
// still where the runner saw them: another runner, or a verb, was first.
bool StepBegun(Pipeline& pipeline, size_t step, int32_t attempt);
bool StepCreated(Pipeline& pipeline, size_t step, int32_t attempt, const std::string& name);
// What goes on again (`kept`), or is to be created anew.
bool StepGoesOn(Pipeline& pipeline, size_t step, int32_t attempt, bool kept);
bool StepWaits(Pipeline& pipeline, size_t step, int32_t attempt, const std::string& what_for);
// `state`: SUCCEEDED (with the output in `text`), FAILED (with the reason) or CANCELLED. Ends the
// pipeline too, if it was the last step or did not succeed.
bool StepEnded(Pipeline& pipeline, size_t step, int32_t attempt, PipelineState state,
               const std::string& text);

// The verbs. No-ops on a pipeline that already is where they lead; FAILED_PRECONDITION
// STATE_INVALID otherwise. A step that runs stays RUNNING until what it created has ended.
absl::Status CancelPipeline(Pipeline& pipeline);
// FAILED or CANCELLED → RUNNING at the step that did not succeed. Refused while it is still being
// cancelled.
absl::Status ResumePipeline(Pipeline& pipeline);

}  // namespace crossover::scheduler
