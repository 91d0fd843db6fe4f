// llama.cpp's llama-server on the same model, as a process beside this one.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace crossover::bench {

struct LlamaServerOptions {
  std::string program;  // scripts/setup_llama_server.sh prints it
  std::string model;    // GGUF file
  int slots = 32;
  int64_t slot_tokens = 2304;  // Context of one slot.
  int threads = 0;
  std::filesystem::path folder;  // For its log and its slots' files; removed by the caller.
};

class LlamaServer {
 public:
  // Blocks until it is healthy.
  static absl::StatusOr<std::unique_ptr<LlamaServer>> Start(const LlamaServerOptions& options);
  ~LlamaServer();  // Ends it.

  std::string CompletionsUrl() const { return base_ + "/v1/completions"; }
  // Copies what slot `from` holds to all others: every slot then has the common prompt, as if each
  // had computed it.
  absl::Status CopyToAllSlots(int from);
  // The slot that holds most tokens; the one that answered the only request so far.
  absl::StatusOr<int> UsedSlot() const;

 private:
  LlamaServer(pid_t pid, std::string base, int slots)
      : pid_(pid), base_(std::move(base)), slots_(slots) {}

  const pid_t pid_;
  const std::string base_;
  const int slots_;
};

}  // namespace crossover::bench
