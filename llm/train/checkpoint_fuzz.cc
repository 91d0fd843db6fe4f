// Any state.json and any state.safetensors must give a state or an error.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "llm/train/checkpoint.h"

// The input is both files, with a zero byte between them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace fs = std::filesystem;
  static const fs::path folder =
      fs::temp_directory_path() / ("fuzz_checkpoint_" + std::to_string(getpid()));
  fs::create_directories(folder);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min(input.find('\0'), input.size());
  std::ofstream(folder / "state.json", std::ios::binary) << input.substr(0, split);
  std::ofstream(folder / "state.safetensors", std::ios::binary)
      << input.substr(std::min(split + 1, input.size()));
  const auto state = crossover::llm::ReadCheckpoint(folder);
  if (!state.ok()) return 0;
  if (state->step < 0 || state->m.size() != state->adapter.size()) __builtin_trap();
  return 0;
}
