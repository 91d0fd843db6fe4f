// The flags of crossover-platform.
#pragma once

#include "common/config/config.h"
#include "services/platform/platform.h"

namespace crossover::platform {

// Parsing `config` fills `options`, which must outlive it.
void DeclareFlags(config::Config& config, Options& options);

}  // namespace crossover::platform
