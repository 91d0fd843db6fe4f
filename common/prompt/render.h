// PromptSpec + input -> the messages that are sent to a model. Pure and thread-safe.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "common/prompt/prompt_spec.h"
#include "common/prompt/template.h"

namespace crossover::prompt {

// OK if Render knows all that the spec asks for. Unimplemented NOT_IMPLEMENTED for strategies other
// than SINGLE, and for dynamic few-shot and retrieval.
absl::Status CheckRenderable(const PromptSpec& spec);

// System messages of the template, then the few-shot examples, then the rest of the template with
// the variables put in.
//
// An example with one user turn is put through the template's own user message, so that it looks
// like the input it prepares for; one with several turns is used as it is. System messages of
// examples are left out. `variables` must hold `input` and nothing that the spec does not declare
// (InvalidArgument PROMPT_INVALID). Fails as CheckRenderable does.
absl::StatusOr<std::vector<dataset::Message>> Render(const PromptSpec& spec,
                                                     const Variables& variables);

// The same for a chat request that comes to a route: `{{input}}` is its last user message, its
// earlier user, assistant and tool turns stand between the examples and the input, and its own
// system messages are left out: the route's prompt replaces them. `variables` are those beside
// `input`. InvalidArgument FIELD_REQUIRED if the request has none.
absl::StatusOr<std::vector<dataset::Message>> RenderChat(
    const PromptSpec& spec, const std::vector<dataset::Message>& request, Variables variables);

}  // namespace crossover::prompt
