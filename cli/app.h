// The command line: parse, run, exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/client/context.h"

namespace crossover::cli {

// Runs `crossover ARGUMENTS` in `world` and returns the exit code (see cli/output/error.h). Writes
// to the world's terminal only.
int Run(World& world, const std::vector<std::string>& arguments);

}  // namespace crossover::cli
