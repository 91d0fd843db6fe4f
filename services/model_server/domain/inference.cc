#include "services/model_server/domain/inference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/context_length.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/domain/tool_calls.h"

namespace crossover::inference {
namespace {

absl::Status AnswerTooLong(int64_t prompt, int64_t max_tokens, int64_t limit) {
  return DoesNotFit("max_tokens",
                    absl::StrCat("the prompt's ", prompt, " tokens and max_tokens = ", max_tokens,
                                 " are more than the ", limit, " tokens that this model serves"),
                    prompt + max_tokens, limit);
}

// Names the field that asks for the constraint in errors about it.
absl::StatusOr<std::shared_ptr<const llm::Constraint>> CompileConstraint(
    const LoadedBase& base, const GenerateCommand& command) {
  const std::optional<llm::ConstraintSpec> spec = ConstraintOf(command);
  if (!spec) return nullptr;
  auto constraint = base.constraints->Compile(*spec);
  if (constraint.ok()) return constraint;
  const std::string what(constraint.status().message());
  const std::string field = command.forced_tool ? "tool_choice" : command.constraint_field;
  ErrorDetail detail = DetailOf(constraint.status());
  detail.violations.push_back({field, what});
  return Error(constraint.status().code(), absl::StrCat(field, ": ", what), std::move(detail));
}

std::string NameOf(llm::FinishReason reason) {
  return reason == llm::FinishReason::kLength ? "length" : "stop";
}

// The n answers of one request. Keeps itself alive through the engine's callbacks.
class RunningGeneration final : public Generation,
                                public std::enable_shared_from_this<RunningGeneration> {
 public:
  RunningGeneration(ModelLease lease, std::vector<ModelLease> mixed,
                    std::shared_ptr<AnswerSink> sink, InferenceObserver& observer, Clock& clock,
                    int64_t n)
      : engine_(lease.engine()),
        sink_(std::move(sink)),
        observer_(observer),
        clock_(clock),
        started_(clock.SteadyNow()),
        lease_(std::move(lease)),
        mixed_(std::move(mixed)),
        waiting_for_(n) {}

  absl::Status Submit(const llm::GenerateRequest& request, int64_t index) {
    const auto self = shared_from_this();
    const absl::StatusOr<RequestId> id = engine_.Generate(
        request, [self, index](const llm::GenerateDelta& delta) { self->Delta(index, delta); },
        [self, index](absl::StatusOr<llm::GenerateResult> result) {
          self->Done(index, std::move(result));
        });
    if (!id.ok()) return id.status();
    std::lock_guard lock(mutex_);
    ids_.push_back(*id);
    if (cancelled_ && waiting_for_ > 0) engine_.Cancel(*id);
    return absl::OkStatus();
  }

  void Cancel() override {
    // Under the lock, so that the lease, and with it the engine, lives as long as it is told. The
    // engine only takes note and calls back later.
    std::lock_guard lock(mutex_);
    if (cancelled_ || waiting_for_ == 0) return;
    cancelled_ = true;
    for (const RequestId id : ids_) engine_.Cancel(id);
  }

  // Some answers could not be queued: the others are stopped and nobody hears of them.
  void Abandon(int64_t not_submitted) {
    Cancel();
    std::lock_guard lock(mutex_);
    silent_ = true;
    waiting_for_ -= not_submitted;
    if (waiting_for_ == 0) {
      sink_ = nullptr;
      mixed_.clear();
      lease_ = {};
    }
  }

 private:
  // The engine calls from one thread at a time, so what only callbacks touch needs no lock; and
  // none is held while the sink is called, which may cancel.
  void Delta(int64_t index, const llm::GenerateDelta& delta) {
    if (!Heard() || (delta.text.empty() && delta.tokens.empty())) return;
    pieces_[index].text += delta.text.size();
    pieces_[index].tokens += delta.tokens.size();
    sink_->OnPiece({index, delta.text, delta.tokens, ""});
  }

  void Done(int64_t index, absl::StatusOr<llm::GenerateResult> result) {
    if (!result.ok()) {
      if (failure_.ok()) failure_ = result.status();
    } else if (result->finish != llm::FinishReason::kCancelled) {
      Add(*result);
      if (Heard()) LastPiece(index, *result);
    }
    std::unique_lock lock(mutex_);
    if (--waiting_for_ > 0) return;
    if (failure_.ok() && cancelled_) {
      failure_ = Error(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the request was cancelled");
    }
    const bool silent = silent_;
    // Let go here: a sink may hold this object, so as to cancel it.
    const std::shared_ptr<AnswerSink> sink = std::move(sink_);
    ModelLease lease = std::move(lease_);
    std::vector<ModelLease> mixed = std::move(mixed_);
    lock.unlock();
    mixed.clear();
    lease = {};
    summary_.timing.total = clock_.SteadyNow() - started_;
    observer_.OnRequest(failure_, summary_);
    if (silent) return;
    if (failure_.ok()) {
      sink->OnDone(summary_);
    } else {
      sink->OnDone(failure_);
    }
  }

  bool Heard() {
    std::lock_guard lock(mutex_);
    return !silent_ && !cancelled_;
  }

  void Add(const llm::GenerateResult& result) {
    summary_.usage.input = result.prompt_tokens;
    summary_.usage.cached_input =
        std::max(summary_.usage.cached_input, result.cached_prompt_tokens);
    summary_.usage.output += static_cast<int64_t>(result.tokens.size());
    const absl::Duration first = absl::Seconds(result.first_token_seconds);
    if (!has_timing_ || first < summary_.timing.first_token) summary_.timing.first_token = first;
    if (!has_timing_) summary_.timing.queue = absl::Seconds(result.queue_seconds);
    has_timing_ = true;
  }

  // What the deltas have not brought yet, and the reason of the end.
  void LastPiece(int64_t index, const llm::GenerateResult& result) {
    const Progress& sent = pieces_[index];
    AnswerPiece piece{index, "", {}, NameOf(result.finish)};
    if (sent.text < result.text.size()) piece.text = result.text.substr(sent.text);
    if (sent.tokens < result.tokens.size()) {
      piece.tokens.assign(result.tokens.begin() + static_cast<int64_t>(sent.tokens),
                          result.tokens.end());
    }
    sink_->OnPiece(std::move(piece));
  }

  struct Progress {
    size_t text = 0;
    size_t tokens = 0;
  };

  GenerationEngine& engine_;
  std::shared_ptr<AnswerSink> sink_;  // nullptr once it was told of the end
  InferenceObserver& observer_;
  Clock& clock_;
  const absl::Duration started_;

  std::mutex mutex_;
  ModelLease lease_;
  std::vector<ModelLease> mixed_;  // Adapters of a mix.
  int64_t waiting_for_;
  std::vector<RequestId> ids_;
  bool cancelled_ = false;
  bool silent_ = false;

  // Of the engine's callbacks alone.
  std::map<int64_t, Progress> pieces_;
  bool has_timing_ = false;
  absl::Status failure_;
  AnswerSummary summary_;
};

}  // namespace

Inference::Inference(LoadedModels& models, Clock& clock, RandomSource& random,
                     InferenceObserver& observer)
    : models_(models), clock_(clock), random_(random), observer_(observer) {}

uint64_t Inference::RandomSeed() {
  std::array<uint8_t, 8> bytes;
  random_.Fill(bytes);
  uint64_t seed = 0;
  for (const uint8_t byte : bytes) seed = seed << 8 | byte;
  return seed;
}

absl::Status Inference::AddMix(const GenerateCommand& command, const ModelLease& base,
                               std::vector<ModelLease>& leases, llm::GenerateRequest& request) {
  if (!base.adapter().empty())
    return FieldError("model", "must name a base when adapters are mixed");
  if (command.mix.size() > 16) return FieldError("adapter_mix", "may hold at most 16 adapters");
  for (size_t i = 0; i < command.mix.size(); ++i) {
    const AdapterWeight& part = command.mix[i];
    const std::string field = absl::StrCat("adapter_mix[", i, "]");
    const float weight = static_cast<float>(part.weight);
    if (!std::isfinite(weight)) return FieldError(field + ".weight", "must be a number");
    ASSIGN_OR_RETURN(ModelLease lease, models_.Acquire(part.model, command.patience));
    if (lease.adapter().empty()) return FieldError(field + ".digest", "must be an adapter");
    if (&lease.base() != &base.base()) {
      return Error(absl::StatusCode::kFailedPrecondition, "ADAPTER_BASE_MISMATCH",
                   absl::StrCat(field, " stands on another base than ", command.model));
    }
    request.mix.push_back({lease.adapter(), weight});
    leases.push_back(std::move(lease));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Generation>> Inference::Generate(const GenerateCommand& command,
                                                                std::shared_ptr<AnswerSink> sink) {
  auto generation = Start(command, std::move(sink));
  if (!generation.ok()) observer_.OnRequest(generation.status(), {});
  return generation;
}

absl::StatusOr<std::shared_ptr<Generation>> Inference::Start(const GenerateCommand& command,
                                                             std::shared_ptr<AnswerSink> sink) {
  RETURN_IF_ERROR(Validate(command.sampling, ""));
  if (command.model.empty()) return FieldError("model", "is required");
  ASSIGN_OR_RETURN(ModelLease lease, models_.Acquire(command.model, command.patience));
  const LoadedBase& base = lease.base();
  llm::GenerateRequest request;
  ASSIGN_OR_RETURN(request.prompt, PromptIds(base, command.prompt, command.prompt_field, 1));
  ASSIGN_OR_RETURN(request.constraint, CompileConstraint(base, command));
  request.adapter = lease.adapter();
  std::vector<ModelLease> mixed;
  if (!command.mix.empty()) RETURN_IF_ERROR(AddMix(command, lease, mixed, request));
  request.caller = command.caller;
  request.call = command.call != 0 ? command.call : NewCall();
  request.priority = static_cast<int>(std::clamp<int64_t>(command.priority, -1000, 1000));
  request.cache_salt =
      command.no_cache ? absl::StrCat("uncached/", ++uncached_) : command.cache_salt;
  const int64_t room = base.context_length - static_cast<int64_t>(request.prompt.size());
  if (command.sampling.max_tokens.value_or(1) > room) {
    return AnswerTooLong(static_cast<int64_t>(request.prompt.size()), *command.sampling.max_tokens,
                         base.context_length);
  }
  const int64_t n = command.sampling.n.value_or(1);
  const uint64_t seed =
      command.sampling.seed ? static_cast<uint64_t>(*command.sampling.seed) : RandomSeed();
  const std::vector<int32_t> stop_ids = base.chat->stop_ids();
  const auto* chat = std::get_if<ChatPrompt>(&command.prompt);
  if (chat != nullptr && !chat->tools.empty())
    sink = std::make_shared<ToolCallSink>(std::move(sink));
  sink->OnStart({lease.digest(), base.tokenizer});
  const auto generation = std::make_shared<RunningGeneration>(
      std::move(lease), std::move(mixed), std::move(sink), observer_, clock_, n);
  for (int64_t i = 0; i < n; ++i) {
    request.sampling = ToEngine(command.sampling, seed, i, room, stop_ids);
    const absl::Status submitted = generation->Submit(request, i);
    if (submitted.ok()) continue;
    generation->Abandon(n - i);
    return submitted;
  }
  return generation;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> Inference::Tokenize(
    const std::string& model, const std::vector<std::string>& texts, bool parse_special,
    const Patience& patience) {
  ASSIGN_OR_RETURN(const ModelLease lease, models_.Acquire(model, patience));
  std::vector<std::vector<int32_t>> out;
  for (const std::string& text : texts) {
    const llm::TextSpan span{text, parse_special};
    out.push_back(lease.base().tokenizer->Encode(std::span(&span, 1)));
  }
  return out;
}

absl::StatusOr<RenderedChat> Inference::Render(const std::string& model, const ChatPrompt& chat,
                                               bool for_answer, const Patience& patience) {
  ASSIGN_OR_RETURN(const ModelLease lease, models_.Acquire(model, patience));
  ASSIGN_OR_RETURN(const auto chat_template, TemplateFor(lease.base(), chat.date));
  RenderedChat rendered;
  ASSIGN_OR_RETURN(rendered.text, chat_template->Render(chat.messages, chat.tools, for_answer));
  ASSIGN_OR_RETURN(rendered.ids, chat_template->Tokens(chat.messages, chat.tools, for_answer,
                                                       &rendered.assistant));
  return rendered;
}

}  // namespace crossover::inference
