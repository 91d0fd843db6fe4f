#include "services/shadow_router/domain/store.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::router {

bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kInternal: {
      // Of the database's own errors only those of class 22 (data exception) are about the data; a
      // standby that takes no writes or a missing grant is mended while we wait.
      const ErrorDetail detail = DetailOf(status);
      const auto state = detail.metadata.find("sqlstate");
      return state != detail.metadata.end() && state->second.rfind("22", 0) != 0;
    }
    default:
      return false;
  }
}

std::string NoPairYet(const std::string& inference_id) {
  return absl::StrCat(
      "kept, but no pair is known under '", inference_id,
      "' yet, so that it grades nothing so far: a pair is stored about a second after its answer, "
      "and an answer that was not mirrored has none. The id is the answer's `id`, or its "
      "x-crossover-inference-id");
}

bool MovesRoute(const Experiment& experiment, const Transition& transition) {
  return transition.from != ExperimentState::kDraft || !IsTerminal(experiment.state);
}

absl::Status NotADraft(const Experiment& experiment) {
  const char* instead = IsTerminal(experiment.state)
                            ? "; it has ended, and what it measured is kept"
                            : "; end it with AbortExperiment (`crossover experiment abort`), which "
                              "gives all requests to the primary and keeps what was measured";
  return Error(absl::StatusCode::kFailedPrecondition,
               absl::StrCat(experiment.name, " is ", std::string(ToString(experiment.state)),
                            ", and only a DRAFT is deleted", instead),
               {.reason = "STATE_INVALID",
                .metadata = {{"state", std::string(ToString(experiment.state))}},
                .violations = {}});
}

absl::Status Validate(const Feedback& feedback) {
  const std::array<std::pair<const char*, const std::string*>, 4> texts = {
      {{"inference_id", &feedback.inference_id},
       {"name", &feedback.name},
       {"author", &feedback.author},
       {"request_id", &feedback.id}}};
  for (const auto& [field, text] : texts) {
    if (text->find('\0') == std::string::npos) continue;
    const std::string message = absl::StrCat("'", field, "' must not contain the character U+0000");
    return Error(absl::StatusCode::kInvalidArgument, message,
                 {.reason = "FEEDBACK_INVALID", .metadata = {}, .violations = {{field, message}}});
  }
  return absl::OkStatus();
}

}  // namespace crossover::router
