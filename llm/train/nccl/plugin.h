// What the NCCL plugin exports. Program and plugin come from one build.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "llm/train/collective.h"

namespace crossover::llm {

// Sets `joined`.
using NcclJoinFunction = void(const Rendezvous& rendezvous,
                              absl::StatusOr<std::unique_ptr<Collective>>& joined);
inline constexpr char kNcclJoinSymbol[] = "crossover_nccl_join";

}  // namespace crossover::llm
