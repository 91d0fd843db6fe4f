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
#include "llm/generate/prompt_lookup.h"
#include "llm/generate/step.h"
#include "llm/generate/text_stream.h"
#include "llm/generate/waiting_calls.h"

namespace crossover::llm {

using SteadyTime = std::chrono::steady_clock::time_point;

// A registered adapter; sequences keep it alive.
struct LoadedAdapter {
  std::string key;
  std::string content;  // Adapters with the same, other than "", have the same numbers.
  // Different for each LoadAdapter call, also under one key; but the same for the same content.
  uint64_t registration = 0;
  int rank = 0;
  int64_t bytes = 0;
  bool linear = true;  // May be part of a mix: no DoRA.
  // Itself; of a mix, its parts. A double's may be empty.
  std::vector<AdapterShare> shares;
};

// The continuations of one ScoreRequest, each a sequence of its own.
struct ScoreGroup {
  ScoreResult result;
  Engine::OnScore on_done;
  int top_logprobs = 0;
  size_t unfinished = 0;
};

// The texts of one EmbedRequest, each a sequence of its own.
struct EmbedGroup {
  EmbedResult result;
  Engine::OnEmbed on_done;
  size_t unfinished = 0;
};

struct Sequence {
  RequestId id = 0;
  std::shared_ptr<const LoadedAdapter> adapter;  // Null: the base model.
  KvOwner owner;
  // To score: the prompt and the continuation without its last token. Grows by the answer.
  std::vector<int32_t> prompt;
  Sampling sampling;
  Engine::OnDelta on_delta;
  Engine::OnDone on_done;

  // One of them, or none: generates.
  std::shared_ptr<ScoreGroup> score;
  std::shared_ptr<EmbedGroup> embed;
  size_t place = 0;  // Continuation or text in the group.
  std::vector<int32_t>
      targets;  // The continuation; targets[i] is predicted at position score_from + i.
  int64_t score_from = 0;

  std::vector<double> hidden_sum;  // To embed: of the tokens computed since it was admitted.

  bool generates() const { return score == nullptr && embed == nullptr; }

  std::string caller;
  int priority = 0;
  double tag = 0;          // FairOrder's: between callers,
  double inner_tag = 0;    // and between the adapters of one.
  bool preempted = false;  // Has been computed before; waits at the head.
  DraftLength draft_length;

  std::shared_ptr<KvNode> tail;  // Set when admitted.
  // While it waits: another sequence is about to compute the first `awaited_tokens` of this node,
  // which it will stand on.
  std::weak_ptr<const KvNode> awaited;
  int64_t awaited_tokens = 0;
  std::unique_ptr<ConstraintState> constraint;  // Null: anything may come.
  TextStream text{{}};
  GenerateResult result;
  SteadyTime submitted;
  WaitingCalls::Stay stay;  // A double's may be none.
};

}  // namespace crossover::llm
