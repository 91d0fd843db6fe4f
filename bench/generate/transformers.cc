#include "bench/generate/transformers.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace crossover::bench {

double TransformersTokensPerSecond(const std::string& python, const std::string& model,
                                   const std::vector<std::vector<int32_t>>& prompts, int64_t tokens,
                                   int threads) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() /
                                     absl::StrCat("crossover-prompts-", ::getpid(), ".json");
  std::ofstream(file) << nlohmann::json(prompts).dump();
  const std::string command = absl::StrCat(
      "'", python, "' '", CROSSOVER_SOURCE_DIR, "/bench/generate/transformers_loop.py' '", model,
      "' '", file.string(), "' --tokens ", tokens, " --threads ", threads);
  std::fflush(stdout);
  double rate = 0;
  if (FILE* pipe = popen(command.c_str(), "r"); pipe != nullptr) {
    char line[512];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      std::printf("# %s", line);
      std::sscanf(line, "tokens_per_second %lf", &rate);
    }
    if (pclose(pipe) != 0) rate = 0;
  }
  std::filesystem::remove(file);
  return rate;
}

}  // namespace crossover::bench
