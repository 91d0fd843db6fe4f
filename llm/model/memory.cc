#include "llm/model/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string>

namespace crossover::llm {

namespace {

std::string TextOf(const char* path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

// The number a file of a control group holds (Linux, cgroup-v2.rst); -1 for "max" or no such file.
int64_t NumberIn(const char* path) {
  int64_t number = -1;
  const std::string text = TextOf(path);
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

int64_t ParseMemAvailable(std::string_view meminfo) {
  constexpr std::string_view kKey = "MemAvailable:";
  const size_t key = meminfo.find(kKey);
  if (key == std::string_view::npos) return 0;
  const std::string_view rest = meminfo.substr(key + kKey.size());
  const size_t digits = rest.find_first_not_of(' ');
  int64_t kilobytes = 0;
  if (digits != std::string_view::npos)
    std::from_chars(rest.data() + digits, rest.data() + rest.size(), kilobytes);
  return kilobytes * 1024;
}

int64_t AvailableMemory() {
  const int64_t machine = ParseMemAvailable(TextOf("/proc/meminfo"));
  const int64_t limit = NumberIn("/sys/fs/cgroup/memory.max");
  if (limit < 0) return machine;
  return std::min(machine, std::max<int64_t>(0, limit - NumberIn("/sys/fs/cgroup/memory.current")));
}

}  // namespace crossover::llm
