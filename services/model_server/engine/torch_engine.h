// The generation engine of llm/generate as a port of the model server.
#pragma once

#include <memory>

#include "llm/generate/engine.h"
#include "llm/model/execution.h"
#include "services/model_server/domain/engine.h"

namespace crossover::inference {

struct TorchEngineOptions {
  llm::ExecutionOptions execution;
  llm::EngineOptions engine;  // token_bytes is set by the loader.
};

// Loads GGUF files and Hugging Face folders. Thread-safe.
std::unique_ptr<BaseLoader> NewTorchBaseLoader(TorchEngineOptions options);

}  // namespace crossover::inference
