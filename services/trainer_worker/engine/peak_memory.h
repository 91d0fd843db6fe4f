// The most memory that this process has had, counted from a moment of one's choice.
#pragma once

#include <cstdint>
#include <filesystem>

namespace crossover::worker {

// Counts from now on: the kernel's high-water mark of the resident set becomes what is resident now
// (Linux, proc_pid_clear_refs(5), "5"). False where that is not allowed: a /proc that is read-only
// or hidden, as some sandboxes have it. Then the mark stays that of the process's life.
bool RestartPeakMemory(const std::filesystem::path& proc = "/proc/self");

// Bytes: VmHWM of the process's status; without such a file the most since the process began
// (getrusage).
int64_t PeakMemoryBytes(const std::filesystem::path& proc = "/proc/self");

}  // namespace crossover::worker
