#include "llm/generate/engine.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/generate/batcher.h"
#include "llm/generate/sampler.h"
#include "llm/lora/adapter.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

absl::Status Invalid(std::string_view reason, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckTokens(const std::vector<int32_t>& ids, int64_t vocab) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return Invalid("TOKEN_OUT_OF_RANGE",
                     absl::StrCat("token ", id, " is outside the vocabulary of ", vocab));
    }
  }
  return absl::OkStatus();
}

}  // namespace

class Engine::Impl {
 public:
  Impl(std::shared_ptr<const BaseModel> base, EngineOptions options)
      : base_(std::move(base)),
        options_(std::move(options)),
        positions_(MaxPositions(base_->config())) {
    {
      const c10::InferenceMode inference;
      batcher_ = std::make_unique<Batcher>(*base_, options_);
    }
    total_pages_ = batcher_->total_pages();
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::Status LoadAdapter(const std::string& key, const std::string& folder) {
    if (key.empty())
      return Invalid("BAD_ADAPTER_KEY", "an adapter needs a key; the empty one is the base model");
    ASSIGN_OR_RETURN(const LoraAdapter adapter, ReadAdapter(folder, base_->config()));
    auto loaded = std::make_shared<LoadedAdapter>();
    loaded->key = key;
    for (const LoraMatrix& matrix : adapter.layout.matrices())
      loaded->rank = std::max(loaded->rank, static_cast<int>(matrix.rank));
    try {
      const c10::InferenceMode inference;
      loaded->operands = std::make_unique<LoraOperands>(base_->config(), adapter.layout,
                                                        base_->weights().options());
      loaded->operands->Assign(adapter.layout, adapter.values);
    } catch (const std::exception& e) {
      return Error(
          absl::StatusCode::kResourceExhausted, "MODEL_LOAD_FAILED",
          absl::StrCat("adapter ", folder, " could not be brought into memory: ", e.what()));
    }
    const std::lock_guard lock(mutex_);
    loaded->registration = ++registrations_;
    const auto [it, fresh] = adapters_.try_emplace(key, nullptr);
    if (!fresh) forgotten_.push_back(it->second->registration);
    it->second = std::move(loaded);
    return absl::OkStatus();
  }

  absl::Status UnloadAdapter(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto it = adapters_.find(key);
    if (it == adapters_.end()) return NotLoaded(key);
    forgotten_.push_back(it->second->registration);
    adapters_.erase(it);
    wake_.notify_all();
    return absl::OkStatus();
  }

  std::vector<AdapterInfo> Adapters() const {
    const std::lock_guard lock(mutex_);
    std::vector<AdapterInfo> infos;
    for (const auto& [key, adapter] : adapters_) {
      infos.push_back({key, adapter->rank, adapter->operands->bytes(), adapter.use_count() - 1});
    }
    return infos;
  }

  absl::StatusOr<RequestId> Submit(GenerateRequest request, OnDelta on_delta, OnDone on_done) {
    RETURN_IF_ERROR(CheckSampling(request.sampling, base_->config().vocab_size,
                                  static_cast<bool>(options_.token_bytes)));
    RETURN_IF_ERROR(CheckPrompt(request.prompt));
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    request.sampling.max_tokens = std::min(request.sampling.max_tokens, positions_ - prompt);
    RETURN_IF_ERROR(CheckBudget(prompt + request.sampling.max_tokens));
    auto sequence = std::make_unique<Sequence>();
    sequence->prompt = std::move(request.prompt);
    sequence->text = TextStream(request.sampling.stop);
    sequence->sampling = std::move(request.sampling);
    sequence->on_delta = std::move(on_delta);
    sequence->on_done = std::move(on_done);
    std::vector<std::unique_ptr<Sequence>> sequences;
    sequences.push_back(std::move(sequence));
    return Push(std::move(sequences), request.adapter, request.cache_salt);
  }

  absl::StatusOr<RequestId> Submit(ScoreRequest request, OnScore on_done) {
    if (request.continuations.empty())
      return Invalid("EMPTY_CONTINUATION", "a score request needs at least one continuation");
    RETURN_IF_ERROR(CheckPrompt(request.prompt));
    auto group = std::make_shared<ScoreGroup>();
    group->on_done = std::move(on_done);
    group->unfinished = request.continuations.size();
    group->result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    std::vector<std::unique_ptr<Sequence>> sequences;
    for (size_t i = 0; i < request.continuations.size(); ++i) {
      const std::vector<int32_t>& continuation = request.continuations[i];
      if (continuation.empty())
        return Invalid("EMPTY_CONTINUATION", absl::StrCat("continuation ", i, " is empty"));
      RETURN_IF_ERROR(CheckTokens(continuation, base_->config().vocab_size));
      auto sequence = std::make_unique<Sequence>();
      sequence->prompt = request.prompt;
      sequence->prompt.insert(sequence->prompt.end(), continuation.begin(), continuation.end() - 1);
      RETURN_IF_ERROR(CheckPrompt(sequence->prompt));
      RETURN_IF_ERROR(CheckBudget(static_cast<int64_t>(sequence->prompt.size())));
      sequence->score = group;
      sequence->continuation = i;
      sequence->targets = continuation;
      sequence->score_from = static_cast<int64_t>(request.prompt.size()) - 1;
      group->result.logprobs.emplace_back(continuation.size());
      sequences.push_back(std::move(sequence));
    }
    return Push(std::move(sequences), request.adapter, request.cache_salt);
  }

  void Cancel(RequestId id) {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
    wake_.notify_all();
  }

  EngineStats Stats() const {
    const std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.queued = queued_ + static_cast<int64_t>(inbox_.size());
    return stats;
  }

 private:
  static absl::Status NotLoaded(const std::string& key) {
    return Error(absl::StatusCode::kNotFound, "ADAPTER_NOT_LOADED",
                 absl::StrCat("no adapter is loaded under '", key, "'"));
  }

  absl::Status CheckPrompt(const std::vector<int32_t>& prompt) const {
    if (prompt.empty()) return Invalid("EMPTY_PROMPT", "the prompt has no tokens");
    if (static_cast<int64_t>(prompt.size()) >= positions_) {
      return Invalid(
          "CONTEXT_TOO_LONG",
          absl::StrCat("the prompt has ", prompt.size(), " tokens and the model's context is ",
                       positions_, ", which must also hold the answer"));
    }
    return CheckTokens(prompt, base_->config().vocab_size);
  }

  absl::Status CheckBudget(int64_t tokens) const {
    const int64_t pages = (tokens + kPageTokens - 1) / kPageTokens;
    if (pages <= total_pages_) return absl::OkStatus();
    return Error(
        absl::StatusCode::kResourceExhausted, "KV_BUDGET",
        absl::StrCat("prompt and max_tokens need ", tokens,
                     " tokens of cache and kv_budget_bytes holds ", total_pages_ * kPageTokens,
                     "; lower max_tokens or raise the budget"));
  }

  absl::StatusOr<RequestId> Push(std::vector<std::unique_ptr<Sequence>> sequences,
                                 const std::string& adapter_key, const std::string& salt) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const LoadedAdapter> adapter;
    if (!adapter_key.empty()) {
      const auto it = adapters_.find(adapter_key);
      if (it == adapters_.end()) return NotLoaded(adapter_key);
      adapter = it->second;
    }
    if (queued_ + static_cast<int64_t>(inbox_.size() + sequences.size()) > options_.max_queue) {
      return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                   absl::StrCat(options_.max_queue, " requests are waiting; try again later"));
    }
    const RequestId id = ++requests_;
    for (auto& sequence : sequences) {
      sequence->id = id;
      sequence->adapter = adapter;
      sequence->owner = {adapter == nullptr ? 0 : adapter->registration, salt};
      sequence->submitted = std::chrono::steady_clock::now();
      inbox_.push_back(std::move(sequence));
    }
    wake_.notify_all();
    return id;
  }

  void Loop() {
    BindThread(base_->execution());
    const c10::InferenceMode inference;
    while (true) {
      std::vector<std::unique_ptr<Sequence>> fresh;
      std::vector<RequestId> cancelled;
      std::vector<uint64_t> forgotten;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] {
          return stopping_ || !inbox_.empty() || !cancelled_.empty() || !forgotten_.empty() ||
                 !batcher_->idle();
        });
        if (stopping_) break;
        fresh = std::move(inbox_);
        inbox_.clear();
        cancelled = std::exchange(cancelled_, {});
        forgotten = std::exchange(forgotten_, {});
        queued_ += static_cast<int64_t>(fresh.size());
      }
      for (auto& sequence : fresh) batcher_->Enqueue(std::move(sequence));
      for (const RequestId id : cancelled) batcher_->Cancel(id);
      for (const uint64_t registration : forgotten) batcher_->Forget(registration);
      batcher_->Step();
      const std::lock_guard lock(mutex_);
      stats_ = batcher_->stats();
      queued_ = stats_.queued;
    }
    {
      const std::lock_guard lock(mutex_);
      for (auto& sequence : inbox_) batcher_->Enqueue(std::move(sequence));
      inbox_.clear();
    }
    batcher_->CancelAll();
  }

  const std::shared_ptr<const BaseModel> base_;
  const EngineOptions options_;
  const int64_t positions_;
  int64_t total_pages_ = 0;
  std::unique_ptr<Batcher> batcher_;  // Of thread_ alone, once it runs.

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Sequence>> inbox_;
  std::vector<RequestId> cancelled_;
  std::vector<uint64_t> forgotten_;
  std::map<std::string, std::shared_ptr<const LoadedAdapter>> adapters_;
  EngineStats stats_;
  int64_t queued_ = 0;
  uint64_t registrations_ = 0;
  RequestId requests_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const BaseModel> base,
                                                       EngineOptions options) {
  if (options.max_batch_rows < 1 || options.max_queue < 1 || options.max_step_tokens < 1 ||
      options.kv_budget_bytes < 1) {
    return Invalid("BAD_ENGINE_OPTIONS",
                   "max_batch_rows, max_queue, max_step_tokens and kv_budget_bytes must be over 0");
  }
  try {
    return std::unique_ptr<Engine>(
        new Engine(std::make_unique<Impl>(std::move(base), std::move(options))));
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kResourceExhausted, "MODEL_LOAD_FAILED",
                 absl::StrCat("the generation engine could not be set up: ", e.what()));
  }
}

absl::Status Engine::LoadAdapter(const std::string& key, const std::string& peft_folder) {
  return impl_->LoadAdapter(key, peft_folder);
}
absl::Status Engine::UnloadAdapter(const std::string& key) { return impl_->UnloadAdapter(key); }
std::vector<AdapterInfo> Engine::Adapters() const { return impl_->Adapters(); }

absl::StatusOr<RequestId> Engine::Submit(GenerateRequest request, OnDelta on_delta,
                                         OnDone on_done) {
  return impl_->Submit(std::move(request), std::move(on_delta), std::move(on_done));
}
absl::StatusOr<RequestId> Engine::Submit(ScoreRequest request, OnScore on_done) {
  return impl_->Submit(std::move(request), std::move(on_done));
}
void Engine::Cancel(RequestId id) { impl_->Cancel(id); }

absl::StatusOr<GenerateResult> Engine::Generate(GenerateRequest request) {
  std::promise<absl::StatusOr<GenerateResult>> done;
  RETURN_IF_ERROR(Submit(std::move(request), nullptr, [&](absl::StatusOr<GenerateResult> r) {
                    done.set_value(std::move(r));
                  }).status());
  return done.get_future().get();
}

absl::StatusOr<ScoreResult> Engine::Score(ScoreRequest request) {
  std::promise<absl::StatusOr<ScoreResult>> done;
  RETURN_IF_ERROR(Submit(std::move(request), [&](absl::StatusOr<ScoreResult> r) {
                    done.set_value(std::move(r));
                  }).status());
  return done.get_future().get();
}

EngineStats Engine::Stats() const { return impl_->Stats(); }

}  // namespace crossover::llm
