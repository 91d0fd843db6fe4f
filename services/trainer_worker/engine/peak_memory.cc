#include "services/trainer_worker/engine/peak_memory.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace crossover::worker {

bool RestartPeakMemory(const std::filesystem::path& proc) {
  // Not a stream: those make a file where there is none.
  const int file = open((proc / "clear_refs").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool restarted = write(file, "5", 1) == 1;
  close(file);
  return restarted;
}

int64_t PeakMemoryBytes(const std::filesystem::path& proc) {
  std::ifstream status(proc / "status");
  for (std::string key; status >> key;) {
    int64_t kilobytes = 0;
    if (key == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

}  // namespace crossover::worker
