// Prompts to and from registry.v1.
#pragma once

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "crossover/registry/v1/prompt.pb.h"
#include "services/registry/domain/prompt_version.h"

namespace crossover::registry {

absl::StatusOr<v1::PromptVersion> ToProto(const PromptVersion& version);

// A message of a rendered prompt or of a chat request.
crossover::type::v1::ChatMessage ToProto(const dataset::Message& message);
dataset::Message FromProto(const crossover::type::v1::ChatMessage& proto);

}  // namespace crossover::registry
