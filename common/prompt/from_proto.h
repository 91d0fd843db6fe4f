// The registry's prompt messages as the values that are rendered. The one conversion: what the
// registry shows, what evaluation measures and what a route serves come from here.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/prompt/prompt_spec.h"
#include "crossover/registry/v1/prompt.pb.h"
#include "crossover/type/v1/chat.pb.h"
#include "crossover/type/v1/system.pb.h"

namespace crossover::prompt {

// The spec, validated. An example's `input` is its user turn; its other variables go along in the
// row's `fields`. InvalidArgument PROMPT_INVALID or FIELD_INVALID says which field is wrong.
absl::StatusOr<PromptSpec> FromProto(const registry::v1::PromptSpec& proto);

Sampling FromProto(const type::v1::Sampling& proto);

// As in a chat request; "" for plain text. A schema that is not JSON becomes null.
std::string ResponseFormatJson(const type::v1::ResponseFormat& proto);

// The content, or the text of its parts joined.
std::string ContentOf(const type::v1::ChatMessage& message);

}  // namespace crossover::prompt
