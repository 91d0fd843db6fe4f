#include "bench/train/peers.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "bench/temporary_folder.h"

namespace crossover::llm {

std::map<std::string, double> RunPeer(const Peer& peer, const std::string& script,
                                      const std::vector<TrainRow>& rows, const std::string& extra) {
  const bench::TemporaryFolder folder;
  const std::string data = (folder.path() / "rows.json").string();
  nlohmann::json json = nlohmann::json::array();
  for (const TrainRow& row : rows)
    json.push_back({{"ids", row.ids}, {"weights", row.token_weights}});
  std::ofstream(data) << json.dump();
  const std::string command =
      absl::StrCat("'", peer.python, "' '", CROSSOVER_SOURCE_DIR, "/bench/train/", script, "' '",
                   peer.model, "' '", data, "' --batch ", peer.batch, " --threads ", peer.threads,
                   " --dtype ", peer.dtype, " ", extra);
  std::fflush(stdout);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::map<std::string, double> values;
  char line[512], name[128];
  while (std::fgets(line, sizeof(line), pipe) != nullptr) {
    double value = 0;
    std::printf("# %s", line);
    if (std::sscanf(line, "%127s %lf", name, &value) == 2) values[name] = value;
  }
  if (pclose(pipe) != 0) values.clear();
  return values;
}

}  // namespace crossover::llm
