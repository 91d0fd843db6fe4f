// Ports of the model server: what computes answers, and what makes it from a base model's file.
//
// Request and result types are those of llm/generate/engine.h, whose header is free of torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/chat/chat_template.h"
#include "llm/constrain/constraint.h"
#include "llm/generate/engine.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::inference {

using RequestId = uint64_t;

// Generates with one base and any number of adapters. Thread-safe. Implementations: TorchEngine
// (llm::Engine), FakeEngine.
//
// Callbacks come from one thread, may come before the call returns, and must not block; of the
// engine they may call Cancel only. For a request that was accepted, the last callback is called
// exactly once.
class GenerationEngine {
 public:
  using OnDelta = std::function<void(const llm::GenerateDelta&)>;
  using OnDone = std::function<void(absl::StatusOr<llm::GenerateResult>)>;
  using OnScore = std::function<void(absl::StatusOr<llm::ScoreResult>)>;
  using OnEmbed = std::function<void(absl::StatusOr<llm::EmbedResult>)>;

  virtual ~GenerationEngine() = default;

  // Brings a PEFT folder into memory under `key`, its digest: what comes back under the same key is
  // the same adapter, and may use what was computed with it. The folder may go away afterwards.
  virtual absl::Status LoadAdapter(const std::string& key, const std::filesystem::path& folder) = 0;
  virtual absl::Status UnloadAdapter(const std::string& key) = 0;
  // That an adapter takes in memory; 0 if it is not there.
  virtual int64_t AdapterBytes(const std::string& key) const = 0;

  // RESOURCE_EXHAUSTED `QUEUE_FULL` when too much waits already, the caller has its share of it and
  // nothing of the request's call was let in before.
  virtual absl::StatusOr<RequestId> Generate(llm::GenerateRequest request, OnDelta on_delta,
                                             OnDone on_done) = 0;
  virtual absl::StatusOr<RequestId> Score(llm::ScoreRequest request, OnScore on_done) = 0;
  virtual absl::StatusOr<RequestId> Embed(llm::EmbedRequest request, OnEmbed on_done) = 0;
  // Ends a request at the next token; unknown ids are ignored.
  virtual void Cancel(RequestId id) = 0;

  virtual llm::EngineStats Stats() const = 0;
};

// A base model in memory with what belongs to it.
struct LoadedBase {
  std::string digest;
  std::shared_ptr<const llm::Tokenizer> tokenizer;
  std::shared_ptr<const llm::ChatTemplate> chat;
  std::shared_ptr<llm::ConstraintCompiler> constraints;  // Of the tokenizer; LoadedModels sets it.
  std::string template_text;                             // For renderings with another date.
  std::string architecture;
  int64_t context_length = 0;  // That the engine serves; the model's own may be longer.
  int64_t bytes = 0;
  // Of the tokenizer's longest token; LoadedModels sets it.
  int64_t longest_token_bytes = 0;
  std::unique_ptr<GenerationEngine> engine;
};

// Thread-safe. Loading takes seconds and blocks.
class BaseLoader {
 public:
  virtual ~BaseLoader() = default;
  // Whether Load can be expected to read this GGUF file or Hugging Face folder, from its first
  // pages: NOT_FOUND, INVALID_ARGUMENT `FORMAT_INVALID`, UNIMPLEMENTED `MODEL_UNSUPPORTED` name
  // what is wrong.
  virtual absl::Status Inspect(const std::filesystem::path& base) = 0;
  virtual absl::StatusOr<std::unique_ptr<LoadedBase>> Load(const std::string& digest,
                                                           const std::filesystem::path& base) = 0;
};

}  // namespace crossover::inference
