#include "services/training_scheduler/domain/pipeline.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/training_scheduler/domain/labels.h"
#include "services/training_scheduler/domain/names.h"

namespace crossover::scheduler {
namespace {

constexpr StepKind kStepKinds[] = {StepKind::kCurationRun, StepKind::kJob, StepKind::kEvaluationRun,
                                   StepKind::kExport};
constexpr PipelineState kPipelineStates[] = {PipelineState::kPending, PipelineState::kRunning,
                                             PipelineState::kSucceeded, PipelineState::kFailed,
                                             PipelineState::kCancelled};

// What stands between `{{` and `}}` → what replaces it.
using Lookup = std::function<absl::StatusOr<std::string>(const std::string& reference)>;

absl::StatusOr<std::string> ReplaceIn(const std::string& text, const Lookup& lookup) {
  std::string out;
  size_t at = 0;
  while (true) {
    const size_t open = text.find("{{", at);
    const size_t close = open == std::string::npos ? open : text.find("}}", open);
    if (close == std::string::npos) return out + text.substr(at);
    out += text.substr(at, open - at);
    std::string inner = text.substr(open + 2, close - open - 2);
    std::erase(inner, ' ');
    if (absl::StartsWith(inner, "steps.")) {
      ASSIGN_OR_RETURN(std::string value, lookup(inner));
      out += value;
    } else {
      out += text.substr(open, close + 2 - open);  // somebody else's template
    }
    at = close + 2;
  }
}

absl::Status ReplaceInAll(nlohmann::json& json, const Lookup& lookup) {
  if (json.is_string()) {
    ASSIGN_OR_RETURN(std::string replaced, ReplaceIn(json.get<std::string>(), lookup));
    json = std::move(replaced);
  } else if (json.is_structured()) {
    for (auto& value : json) RETURN_IF_ERROR(ReplaceInAll(value, lookup));
  }
  return absl::OkStatus();
}

struct Reference {
  std::string step;
  std::string what;
};

// "steps.train.output"; INVALID_ARGUMENT for another shape.
absl::StatusOr<Reference> ParseReference(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '.');
  if (parts.size() == 3 &&
      (parts[2] == "output" || parts[2] == "digest" || parts[2] == "created")) {
    return Reference{parts[1], parts[2]};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("refers to {{", text,
                   "}}; a reference is {{steps.ID.output}}, {{steps.ID.digest}} or "
                   "{{steps.ID.created}}"));
}

std::string ReferredValue(const PipelineStep& step, const std::string& what) {
  if (what == "created") return step.created;
  if (what == "output") return step.output;
  return step.output.substr(step.output.rfind('/') + 1);
}

// What is wrong with a step's resource; empty = nothing.
std::string ResourceProblem(const Pipeline& pipeline, size_t index) {
  nlohmann::json resource = nlohmann::json::parse(pipeline.steps[index].resource, nullptr, false);
  if (!resource.is_object() || resource.empty()) return "is required: a JSON object";
  const absl::Status status =
      ReplaceInAll(resource, [&](const std::string& text) -> absl::StatusOr<std::string> {
        ASSIGN_OR_RETURN(Reference reference, ParseReference(text));
        for (size_t i = 0; i < index; ++i) {
          if (pipeline.steps[i].id == reference.step) return std::string();
        }
        return absl::InvalidArgumentError(absl::StrCat(
            "refers to {{", text, "}}, but no earlier step has the id '", reference.step, "'"));
      });
  return std::string(status.message());
}

// The step, if it is RUNNING in this attempt.
PipelineStep* RunningStep(Pipeline& pipeline, size_t index, int32_t attempt) {
  if (index >= pipeline.steps.size()) return nullptr;
  PipelineStep& step = pipeline.steps[index];
  return step.state == PipelineState::kRunning && step.attempt == attempt ? &step : nullptr;
}

absl::Status WrongPipelineState(const Pipeline& pipeline, const char* verb, const char* works_in) {
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat("pipeline ", pipeline.id, " is ", ToAbsl(Name(pipeline.state)), "; ",
                            verb, " works on pipelines that are ", works_in),
               {.reason = "STATE_INVALID",
                .metadata = {{"state", std::string(Name(pipeline.state))}},
                .violations = {}});
}

}  // namespace

std::string_view Name(StepKind kind) {
  switch (kind) {
    case StepKind::kCurationRun:
      return "CURATION_RUN";
    case StepKind::kJob:
      return "JOB";
    case StepKind::kEvaluationRun:
      return "EVALUATION_RUN";
    case StepKind::kExport:
      return "EXPORT";
  }
  return "JOB";
}

std::string_view Name(PipelineState state) {
  switch (state) {
    case PipelineState::kPending:
      return "PENDING";
    case PipelineState::kRunning:
      return "RUNNING";
    case PipelineState::kSucceeded:
      return "SUCCEEDED";
    case PipelineState::kFailed:
      return "FAILED";
    case PipelineState::kCancelled:
      return "CANCELLED";
  }
  return "PENDING";
}

std::optional<StepKind> ParseStepKind(std::string_view name) {
  for (const StepKind kind : kStepKinds) {
    if (Name(kind) == name) return kind;
  }
  return std::nullopt;
}

std::optional<PipelineState> ParsePipelineState(std::string_view name) {
  for (const PipelineState state : kPipelineStates) {
    if (Name(state) == name) return state;
  }
  return std::nullopt;
}

absl::Status CheckPipeline(const Pipeline& pipeline) {
  std::vector<FieldViolation> violations = CheckLabels("pipeline.labels", pipeline.labels);
  if (pipeline.steps.empty() || pipeline.steps.size() > kMaxSteps) {
    violations.push_back({"pipeline.steps", absl::StrCat("has ", pipeline.steps.size(),
                                                         " entries; 1 to ", kMaxSteps)});
  }
  for (size_t i = 0; i < pipeline.steps.size() && i < kMaxSteps; ++i) {
    const PipelineStep& step = pipeline.steps[i];
    const std::string field = absl::StrCat("pipeline.steps[", i, "]");
    const auto same = [&](const PipelineStep& other) { return other.id == step.id; };
    if (!IsSlug(step.id)) {
      violations.push_back(
          {field + ".id", absl::StrCat("is '", step.id, "'; must be a lower-case name")});
    } else if (std::any_of(pipeline.steps.begin(),
                           pipeline.steps.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      violations.push_back(
          {field + ".id", absl::StrCat("'", step.id, "' is taken by another step")});
    }
    if (std::string problem = ResourceProblem(pipeline, i); !problem.empty()) {
      violations.push_back({field + ".resource", std::move(problem)});
    }
  }
  if (violations.empty()) return absl::OkStatus();
  const std::string message = absl::StrCat(violations[0].field, " ", violations[0].description);
  return Error(absl::StatusCode::kInvalidArgument, message,
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = std::move(violations)});
}

absl::StatusOr<std::string> ResourceOf(const Pipeline& pipeline, size_t step) {
  nlohmann::json resource = nlohmann::json::parse(pipeline.steps[step].resource, nullptr, false);
  RETURN_IF_ERROR(
      ReplaceInAll(resource, [&](const std::string& text) -> absl::StatusOr<std::string> {
        ASSIGN_OR_RETURN(Reference reference, ParseReference(text));
        for (const PipelineStep& other : pipeline.steps) {
          const std::string value =
              other.id == reference.step ? ReferredValue(other, reference.what) : "";
          if (!value.empty()) return value;
        }
        return Error(absl::StatusCode::kInternal, "INTERNAL_ERROR",
                     absl::StrCat("{{", text, "}} has no value yet"));
      }));
  return resource.dump();
}

std::optional<size_t> DueStep(const Pipeline& pipeline) {
  for (size_t i = 0; i < pipeline.steps.size(); ++i) {
    const PipelineState state = pipeline.steps[i].state;
    if (state == PipelineState::kRunning) return i;
    if (state == PipelineState::kPending && pipeline.state == PipelineState::kRunning) return i;
  }
  return std::nullopt;
}

bool StepBegun(Pipeline& pipeline, size_t index, int32_t attempt) {
  PipelineStep& step = pipeline.steps[index];
  if (step.state != PipelineState::kPending || step.attempt != attempt ||
      pipeline.state != PipelineState::kRunning) {
    return false;
  }
  step.state = PipelineState::kRunning;
  return true;
}

bool StepCreated(Pipeline& pipeline, size_t index, int32_t attempt, const std::string& name) {
  PipelineStep* step = RunningStep(pipeline, index, attempt);
  if (step == nullptr || !step->created.empty()) return false;
  step->created = name;
  return true;
}

bool StepGoesOn(Pipeline& pipeline, size_t index, int32_t attempt, bool kept) {
  PipelineStep* step = RunningStep(pipeline, index, attempt);
  if (step == nullptr || !step->go_on) return false;
  step->go_on = false;
  if (!kept) step->created.clear();
  return true;
}

bool StepWaits(Pipeline& pipeline, size_t index, int32_t attempt, const std::string& what_for) {
  PipelineStep* step = RunningStep(pipeline, index, attempt);
  if (step == nullptr || step->error == what_for) return false;
  step->error = what_for;
  return true;
}

bool StepEnded(Pipeline& pipeline, size_t index, int32_t attempt, PipelineState state,
               const std::string& text) {
  PipelineStep* step = RunningStep(pipeline, index, attempt);
  if (step == nullptr) return false;
  step->state = state;
  const bool succeeded = state == PipelineState::kSucceeded;
  const bool failed = state == PipelineState::kFailed;
  step->output = !succeeded ? "" : text.empty() ? step->created : text;
  step->error = !failed ? "" : text.empty() ? "failed without giving a reason" : text;
  if (pipeline.state != PipelineState::kRunning) return true;  // it is being cancelled
  if (!succeeded) {
    pipeline.state = state;
  } else if (index + 1 == pipeline.steps.size()) {
    pipeline.state = PipelineState::kSucceeded;
  }
  return true;
}

absl::Status CancelPipeline(Pipeline& pipeline) {
  if (pipeline.state == PipelineState::kCancelled) return absl::OkStatus();
  if (pipeline.state != PipelineState::kRunning) {
    return WrongPipelineState(pipeline, "cancel", "RUNNING");
  }
  pipeline.state = PipelineState::kCancelled;
  for (PipelineStep& step : pipeline.steps) {
    if (step.state == PipelineState::kPending) step.state = PipelineState::kCancelled;
  }
  return absl::OkStatus();
}

absl::Status ResumePipeline(Pipeline& pipeline) {
  if (pipeline.state == PipelineState::kRunning) return absl::OkStatus();
  if (pipeline.state == PipelineState::kSucceeded) {
    return WrongPipelineState(pipeline, "resume", "FAILED or CANCELLED");
  }
  if (DueStep(pipeline).has_value()) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
        absl::StrCat("pipeline ", pipeline.id, " is still being cancelled; try again in a moment"));
  }
  pipeline.state = PipelineState::kRunning;
  for (PipelineStep& step : pipeline.steps) {
    if (step.state == PipelineState::kSucceeded || step.state == PipelineState::kPending) continue;
    step.state = PipelineState::kPending;
    step.attempt += 1;
    step.go_on = !step.created.empty();
    step.error.clear();
  }
  return absl::OkStatus();
}

}  // namespace crossover::scheduler
