#include "llm/generate/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/generate/sampler.h"

namespace crossover::llm {

namespace {

absl::Status InvalidRequest(std::string_view reason, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckTokens(const std::vector<int32_t>& ids, int64_t vocab) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return InvalidRequest("TOKEN_OUT_OF_RANGE",
                            absl::StrCat("token ", id, " is outside the vocabulary of ", vocab));
    }
  }
  return absl::OkStatus();
}

}  // namespace

EngineLoop::EngineLoop(EngineLimits limits, KvShape shape, EngineOptions options,
                       std::unique_ptr<StepRunner> runner)
    : limits_(limits),
      options_(std::move(options)),
      waiting_(options_.max_queue),
      batcher_(shape, options_, std::move(runner)),
      max_tokens_(std::min(limits_.positions, batcher_.total_pages() * kPageTokens)) {
  thread_ = std::thread([this] { Run(); });
}

EngineLoop::~EngineLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void EngineLoop::AddAdapter(std::shared_ptr<LoadedAdapter> adapter) {
  const std::lock_guard lock(mutex_);
  adapters_.Add(std::move(adapter));
  wake_.notify_all();
}

absl::Status EngineLoop::RemoveAdapter(const std::string& key) {
  const std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(adapters_.Remove(key));
  wake_.notify_all();
  return absl::OkStatus();
}

std::vector<AdapterInfo> EngineLoop::Adapters() const {
  const std::lock_guard lock(mutex_);
  return adapters_.List();
}

absl::Status EngineLoop::CheckPrompt(const std::vector<int32_t>& prompt) const {
  if (prompt.empty()) return InvalidRequest("EMPTY_PROMPT", "the prompt has no tokens");
  RETURN_IF_ERROR(
      CheckLength(static_cast<int64_t>(prompt.size()) + 1, "the prompt and one token of answer"));
  return CheckTokens(prompt, limits_.vocab);
}

absl::Status EngineLoop::CheckLength(int64_t tokens, const char* what) const {
  if (tokens <= max_tokens_) return absl::OkStatus();
  const bool cache = max_tokens_ < limits_.positions;
  return InvalidRequest(
      "CONTEXT_TOO_LONG",
      absl::StrCat(what, " have ", tokens, " tokens and this engine serves ", max_tokens_,
                   " together",
                   cache ? ", which is what its cache for keys and values holds" : ""));
}

absl::StatusOr<RequestId> EngineLoop::Submit(GenerateRequest request, Engine::OnDelta on_delta,
                                             Engine::OnDone on_done) {
  RETURN_IF_ERROR(
      CheckSampling(request.sampling, limits_.vocab, static_cast<bool>(options_.token_bytes)));
  RETURN_IF_ERROR(CheckPrompt(request.prompt));
  RETURN_IF_ERROR(
      CheckLength(static_cast<int64_t>(request.prompt.size()) + request.sampling.max_tokens,
                  "the prompt and max_tokens"));
  auto sequence = std::make_unique<Sequence>();
  sequence->prompt = std::move(request.prompt);
  sequence->text = TextStream(request.sampling.stop);
  sequence->sampling = std::move(request.sampling);
  if (request.constraint != nullptr)
    sequence->constraint = std::make_unique<ConstraintState>(std::move(request.constraint));
  sequence->on_delta = std::move(on_delta);
  sequence->on_done = std::move(on_done);
  std::vector<std::unique_ptr<Sequence>> sequences;
  sequences.push_back(std::move(sequence));
  return Push(std::move(sequences), {request.adapter, request.mix, request.cache_salt,
                                     request.caller, request.priority, request.call});
}

absl::StatusOr<RequestId> EngineLoop::Submit(ScoreRequest request, Engine::OnScore on_done) {
  if (request.continuations.empty())
    return InvalidRequest("EMPTY_CONTINUATION", "a score request needs at least one continuation");
  if (request.top_logprobs < 0 || request.top_logprobs > 20) {
    return InvalidRequest(
        "BAD_SAMPLING", absl::StrCat("top_logprobs ", request.top_logprobs, " is outside 0 to 20"));
  }
  RETURN_IF_ERROR(CheckPrompt(request.prompt));
  auto group = std::make_shared<ScoreGroup>();
  group->top_logprobs = request.top_logprobs;
  group->on_done = std::move(on_done);
  group->unfinished = request.continuations.size();
  group->result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (size_t i = 0; i < request.continuations.size(); ++i) {
    const std::vector<int32_t>& continuation = request.continuations[i];
    if (continuation.empty())
      return InvalidRequest("EMPTY_CONTINUATION", absl::StrCat("continuation ", i, " is empty"));
    RETURN_IF_ERROR(CheckTokens(continuation, limits_.vocab));
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(request.prompt.size() + continuation.size()),
                                "the prompt and a continuation"));
    auto sequence = std::make_unique<Sequence>();
    sequence->prompt = request.prompt;
    sequence->prompt.insert(sequence->prompt.end(), continuation.begin(), continuation.end() - 1);
    sequence->score = group;
    sequence->place = i;
    sequence->targets = continuation;
    sequence->score_from = static_cast<int64_t>(request.prompt.size()) - 1;
    group->result.logprobs.emplace_back(continuation.size());
    if (request.top_logprobs > 0) group->result.top.emplace_back(continuation.size());
    group->result.greedy.push_back(true);  // Until a token proves otherwise.
    sequences.push_back(std::move(sequence));
  }
  return Push(std::move(sequences),
              {request.adapter, {}, request.cache_salt, request.caller, 0, request.call});
}

absl::StatusOr<RequestId> EngineLoop::Submit(EmbedRequest request, Engine::OnEmbed on_done) {
  auto group = std::make_shared<EmbedGroup>();
  group->on_done = std::move(on_done);
  group->unfinished = request.texts.size();
  group->result.embeddings.resize(request.texts.size());
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (std::vector<int32_t>& text : request.texts) {
    if (text.empty()) return InvalidRequest("EMPTY_PROMPT", "a text to embed has no tokens");
    RETURN_IF_ERROR(CheckTokens(text, limits_.vocab));
    RETURN_IF_ERROR(CheckLength(static_cast<int64_t>(text.size()), "a text to embed"));
    group->result.prompt_tokens += static_cast<int64_t>(text.size());
    auto sequence = std::make_unique<Sequence>();
    sequence->prompt = std::move(text);
    sequence->embed = group;
    sequence->place = sequences.size();
    sequences.push_back(std::move(sequence));
  }
  if (sequences.empty())
    return InvalidRequest("EMPTY_PROMPT", "an embed request needs at least one text");
  return Push(std::move(sequences), {request.adapter, {}, "", request.caller});
}

absl::StatusOr<RequestId> EngineLoop::Push(std::vector<std::unique_ptr<Sequence>> sequences,
                                           const Origin& origin) {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const std::shared_ptr<const LoadedAdapter> adapter,
                   origin.mix.empty() ? adapters_.Find(origin.adapter) : adapters_.Mix(origin.mix));
  ASSIGN_OR_RETURN(std::vector<WaitingCalls::Stay> stays,
                   waiting_.Enter(origin.caller, origin.call, sequences.size()));
  const RequestId id = ++requests_;
  for (size_t i = 0; i < sequences.size(); ++i) {
    std::unique_ptr<Sequence>& sequence = sequences[i];
    sequence->id = id;
    sequence->stay = std::move(stays[i]);
    sequence->adapter = adapter;
    sequence->owner = {adapter == nullptr ? 0 : adapter->registration, origin.salt};
    sequence->caller = origin.caller;
    sequence->priority = origin.priority;
    sequence->submitted = std::chrono::steady_clock::now();
    inbox_.push_back(std::move(sequence));
  }
  wake_.notify_all();
  return id;
}

void EngineLoop::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  wake_.notify_all();
}

EngineStats EngineLoop::Stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.queued = waiting_.calls();
  if (busy_) {
    stats.stalled_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - progress_).count();
  }
  return stats;
}

// Waits for something to do and hands it to the batcher; false when the engine stops.
bool EngineLoop::TakeMail() {
  std::vector<std::unique_ptr<Sequence>> fresh;
  std::vector<RequestId> cancelled;
  std::vector<uint64_t> forgotten;
  bool stopping = false;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] {
      return stopping_ || !inbox_.empty() || !cancelled_.empty() || adapters_.has_forgotten() ||
             !batcher_.idle();
    });
    stopping = stopping_;
    fresh = std::exchange(inbox_, {});
    cancelled = std::exchange(cancelled_, {});
    forgotten = adapters_.TakeForgotten();
    if (!std::exchange(busy_, true)) progress_ = std::chrono::steady_clock::now();
  }
  for (auto& sequence : fresh) batcher_.Enqueue(std::move(sequence));
  for (const RequestId id : cancelled) batcher_.Cancel(id);
  for (const uint64_t registration : forgotten) batcher_.Forget(registration);
  return !stopping;
}

void EngineLoop::Run() {
  batcher_.BindThread();
  while (TakeMail()) {
    batcher_.Step();
    const std::lock_guard lock(mutex_);
    const int64_t steps = stats_.steps_total;
    stats_ = batcher_.stats();
    busy_ = !batcher_.idle();
    if (stats_.steps_total != steps) progress_ = std::chrono::steady_clock::now();
  }
  batcher_.CancelAll();
}

}  // namespace crossover::llm
