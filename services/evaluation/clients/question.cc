#include "services/evaluation/clients/question.h"

#include "common/dataset/row_json.h"
#include "common/prompt/render.h"
#include "common/status/status_macros.h"

namespace crossover::evaluation {
namespace {

template <typename T>
void Overlay(const std::optional<T>& over, std::optional<T>& under) {
  if (over) under = over;
}

}  // namespace

absl::StatusOr<RenderedQuestion> RenderQuestion(const System& system,
                                                const prompt::PromptSpec* spec,
                                                const SuiteRow& row) {
  RenderedQuestion question;
  ASSIGN_OR_RETURN(question.messages, dataset::ParseMessages(row.messages, "messages"));
  if (spec != nullptr) {
    ASSIGN_OR_RETURN(question.messages, prompt::RenderChat(*spec, question.messages, {}));
    question.sampling = spec->sampling;
    question.response_format = spec->response_format;
  }
  Overlay(system.sampling.temperature, question.sampling.temperature);
  Overlay(system.sampling.top_p, question.sampling.top_p);
  Overlay(system.sampling.top_k, question.sampling.top_k);
  Overlay(system.sampling.max_tokens, question.sampling.max_tokens);
  Overlay(system.sampling.seed, question.sampling.seed);
  if (!system.sampling.stop.empty()) question.sampling.stop = system.sampling.stop;
  if (!system.response_format.empty()) question.response_format = system.response_format;
  return question;
}

}  // namespace crossover::evaluation
