// How much memory there is. No torch.
#pragma once

#include <cstdint>
#include <string_view>

namespace crossover::llm {

// Bytes that this process can still take without swapping: MemAvailable of /proc/meminfo, and what
// is left below the limit of its control group, whichever is less.
int64_t AvailableMemory();

// The bytes that the line "MemAvailable: … kB" of such a text says; 0 without one.
int64_t ParseMemAvailable(std::string_view meminfo);

}  // namespace crossover::llm
