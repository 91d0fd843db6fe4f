// One request on its way through the batcher. No torch.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llm/constrain/constraint.h"
#include "llm/generate/engine.h"
#include "llm/generate/kv_cache.h"
#include "llm/generate/step.h"
#include "llm/generate/text_stream.h"

namespace crossover::llm {

using SteadyTime = std::chrono::steady_clock::time_point;

// A registered adapter; sequences keep it alive.
struct LoadedAdapter {
  std::string key;
  uint64_t registration = 0;  // Different for each LoadAdapter call, also under one key.
  int rank = 0;
  int64_t bytes = 0;
  std::shared_ptr<const LoraOperands> operands;
};

// The continuations of one ScoreRequest, each a sequence of its own.
struct ScoreGroup {
  ScoreResult result;
  Engine::OnScore on_done;
  size_t unfinished = 0;
};

struct Sequence {
  RequestId id = 0;
  std::shared_ptr<const LoadedAdapter> adapter;  // Null: the base model.
  KvOwner owner;
  // To score: the prompt and the continuation without its last token. Grows by the answer so far
  // when the sequence is put back into the queue.
  std::vector<int32_t> prompt;
  Sampling sampling;
  Engine::OnDelta on_delta;
  Engine::OnDone on_done;

  std::shared_ptr<ScoreGroup> score;  // Null: generates.
  size_t continuation = 0;            // Index in the group.
  std::vector<int32_t>
      targets;  // The continuation; targets[i] is predicted at position score_from + i.
  int64_t score_from = 0;

  std::shared_ptr<KvNode> tail;  // Set when admitted.
  // While it waits: another sequence is about to compute the first `awaited_tokens` of this node,
  // which it will stand on.
  std::weak_ptr<const KvNode> awaited;
  int64_t awaited_tokens = 0;
  std::unique_ptr<ConstraintState> constraint;  // Null: anything may come.
  TextStream text{{}};
  GenerateResult result;
  SteadyTime submitted;
};

}  // namespace crossover::llm
