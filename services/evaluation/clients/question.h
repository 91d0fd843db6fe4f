// What is sent for a row: the prompt rendered, the sampling decided. The same for every kind of
// model.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "common/prompt/prompt_spec.h"
#include "services/evaluation/domain/suite.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

struct RenderedQuestion {
  std::vector<dataset::Message> messages;
  prompt::Sampling sampling;
  std::string response_format;  // JSON as in a chat request; may be empty
};

// `spec` may be null: the row's messages go as they come. The system's sampling and format stand
// over the prompt's.
absl::StatusOr<RenderedQuestion> RenderQuestion(const System& system,
                                                const prompt::PromptSpec* spec,
                                                const SuiteRow& row);

}  // namespace crossover::evaluation
