// A System in one argument:
//
//   prompt=support/main,model=smollm2-135m-instruct          a prompt on a base model
//   adapter=sha256:48c2…  or  adapter=ft:smollm2…            a tuned model
//   prompt=support/main,upstream=openai/gpt-4o-mini          a prompt on a model behind an upstream
//   …,temperature=0.7,top_p=0.9,max_tokens=64,seed=1,name=few-shot
//   @system.yaml                                             a file with the fields of
//   crossover.type.v1.System
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/client/context.h"
#include "crossover/type/v1/system.pb.h"

namespace crossover::cli {

// Asks the server for the prompt's version. CLI_USAGE says which part is wrong.
absl::StatusOr<type::v1::System> ReadSystem(Context& context, const std::string& argument);

// What tables call a system: its display_name, else prompt and model in short.
std::string SystemLabel(const type::v1::System& system);

}  // namespace crossover::cli
