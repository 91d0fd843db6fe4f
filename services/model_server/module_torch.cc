// Module::Create with LibTorch's engine; apart from module.cc so that tests with a fake engine need
// no torch.
#include <utility>

#include "common/status/status_macros.h"
#include "services/model_server/engine/torch_engine.h"
#include "services/model_server/module.h"

namespace crossover::inference {

absl::StatusOr<std::unique_ptr<Module>> Module::Create(Options options, Deps deps) {
  TorchEngineOptions engine;
  engine.execution.threads = options.threads;
  ASSIGN_OR_RETURN(engine.execution.compute_type,
                   llm::ParseComputeType("compute-type", options.compute_type));
  ASSIGN_OR_RETURN(engine.engine.decode_weights,
                   llm::ParseDecodeWeights("decode-weights", options.decode_weights));
  deps.logger.Info("compute", {{"as", llm::ToString(llm::Resolve(engine.execution))}});
  engine.engine.max_batch_rows = options.max_batch_rows;
  engine.engine.speculative_rows = options.speculative_rows;
  engine.engine.max_queue = options.max_queue;
  engine.engine.kv_budget_bytes = options.kv_cache_mb << 20;
  return Create(std::move(options), deps, NewTorchBaseLoader(std::move(engine)));
}

}  // namespace crossover::inference
