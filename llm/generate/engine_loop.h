// The engine without its model: checks and queues requests, and runs the batcher on a thread. No
// torch, so that its threading can be tested with a double.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/generate/adapter_table.h"
#include "llm/generate/batcher.h"
#include "llm/generate/engine.h"
#include "llm/generate/sequence.h"
#include "llm/generate/waiting_calls.h"

namespace crossover::llm {

struct EngineLimits {
  int64_t vocab = 0;
  int64_t positions = 0;  // Tokens a sequence may have, however large the cache.
};

// Thread-safe. Methods as Engine's.
class EngineLoop {
 public:
  EngineLoop(EngineLimits limits, KvShape shape, EngineOptions options,
             std::unique_ptr<StepRunner> runner);
  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // As AdapterTable::Add.
  void AddAdapter(std::shared_ptr<LoadedAdapter> adapter);
  absl::Status RemoveAdapter(const std::string& key);
  std::vector<AdapterInfo> Adapters() const;

  absl::StatusOr<RequestId> Submit(GenerateRequest request, Engine::OnDelta on_delta,
                                   Engine::OnDone on_done);
  absl::StatusOr<RequestId> Submit(ScoreRequest request, Engine::OnScore on_done);
  absl::StatusOr<RequestId> Submit(EmbedRequest request, Engine::OnEmbed on_done);
  void Cancel(RequestId id);

  int64_t max_sequence_tokens() const { return max_tokens_; }
  EngineStats Stats() const;

 private:
  absl::Status CheckPrompt(const std::vector<int32_t>& prompt) const;
  absl::Status CheckLength(int64_t tokens, const char* what) const;
  // Who asks for what, and how urgently.
  struct Origin {
    std::string adapter;
    std::vector<AdapterPart> mix;
    std::string salt;
    std::string caller;
    int priority = 0;
    uint64_t call = 0;
  };
  absl::StatusOr<RequestId> Push(std::vector<std::unique_ptr<Sequence>> sequences,
                                 const Origin& origin);
  void Run();
  bool TakeMail();

  const EngineLimits limits_;
  const EngineOptions options_;
  WaitingCalls waiting_;  // Before those that hold sequences.
  Batcher batcher_;       // Of thread_ alone, once it runs.
  const int64_t max_tokens_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Sequence>> inbox_;
  std::vector<RequestId> cancelled_;
  AdapterTable adapters_;
  EngineStats stats_;
  bool busy_ = false;
  SteadyTime progress_;  // When the last step ended, or work came after none.
  RequestId requests_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace crossover::llm
