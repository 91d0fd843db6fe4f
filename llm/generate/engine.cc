#include "llm/generate/engine.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <exception>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/generate/adapter_weights.h"
#include "llm/generate/engine_loop.h"
#include "llm/generate/model_runner.h"
#include "llm/generate/quantised_panels.h"
#include "llm/lora/adapter.h"
#include "llm/model/weights.h"

namespace crossover::llm {

namespace {

absl::Status Invalid(std::string_view reason, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

std::unique_ptr<StepRunner> NewRunner(const BaseModel& base, DecodeWeights weights) {
  const c10::InferenceMode inference;
  return std::make_unique<ModelRunner>(base, KvShapeOf(base), weights);
}

}  // namespace

absl::StatusOr<DecodeWeights> ParseDecodeWeights(std::string_view setting, std::string_view text) {
  if (text == "dense") return DecodeWeights::kDense;
  if (text == "int8") return DecodeWeights::kInt8;
  if (text == "int4") return DecodeWeights::kInt4;
  return Error(
      absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
      absl::StrCat(ToAbsl(setting), " is '", ToAbsl(text), "'; expected dense, int8 or int4"));
}

class Engine::Impl {
 public:
  Impl(std::shared_ptr<const BaseModel> base, const EngineOptions& options)
      : base_(std::move(base)),
        loop_({.vocab = base_->config().vocab_size, .positions = MaxPositions(base_->config())},
              KvShapeOf(*base_), options, NewRunner(*base_, options.decode_weights)) {}

  absl::Status LoadAdapter(const std::string& key, const std::string& folder,
                           const std::string& content) {
    if (key.empty())
      return Invalid("BAD_ADAPTER_KEY", "an adapter needs a key; the empty one is the base model");
    ASSIGN_OR_RETURN(const LoraAdapter adapter, ReadAdapter(folder, base_->config()));
    auto loaded = std::make_shared<LoadedAdapter>();
    loaded->key = key;
    loaded->content = content;
    for (const LoraMatrix& matrix : adapter.layout.matrices())
      loaded->rank = std::max(loaded->rank, static_cast<int>(matrix.rank));
    try {
      const c10::InferenceMode inference;
      auto weights = std::make_shared<AdapterWeights>(*base_, adapter);
      loaded->bytes = weights->bytes();
      loaded->linear = weights->linear();
      loaded->shares.push_back({std::move(weights), 1});
    } catch (const std::exception& e) {
      return Error(
          absl::StatusCode::kResourceExhausted, "MODEL_LOAD_FAILED",
          absl::StrCat("adapter ", folder, " could not be brought into memory: ", e.what()));
    }
    loop_.AddAdapter(std::move(loaded));
    return absl::OkStatus();
  }

  EngineLoop& loop() { return loop_; }

 private:
  const std::shared_ptr<const BaseModel> base_;
  EngineLoop loop_;
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
  if (options.decode_weights != DecodeWeights::kDense && !base->execution().bf16() &&
      !QuantisedPanels::Here()) {
    return Invalid("BAD_ENGINE_OPTIONS",
                   "int8 and int4 weights in fp32 need a processor with AVX2, and this one has "
                   "none; leave decode-weights dense");
  }
  try {
    return std::unique_ptr<Engine>(new Engine(std::make_unique<Impl>(std::move(base), options)));
  } catch (const std::exception& e) {
    return Error(absl::StatusCode::kResourceExhausted, "MODEL_LOAD_FAILED",
                 absl::StrCat("the generation engine could not be set up: ", e.what()));
  }
}

absl::Status Engine::LoadAdapter(const std::string& key, const std::string& peft_folder,
                                 const std::string& content) {
  return impl_->LoadAdapter(key, peft_folder, content);
}
absl::Status Engine::UnloadAdapter(const std::string& key) {
  return impl_->loop().RemoveAdapter(key);
}
std::vector<AdapterInfo> Engine::Adapters() const { return impl_->loop().Adapters(); }
int64_t Engine::max_sequence_tokens() const { return impl_->loop().max_sequence_tokens(); }

absl::StatusOr<RequestId> Engine::Submit(GenerateRequest request, OnDelta on_delta,
                                         OnDone on_done) {
  return impl_->loop().Submit(std::move(request), std::move(on_delta), std::move(on_done));
}
absl::StatusOr<RequestId> Engine::Submit(ScoreRequest request, OnScore on_done) {
  return impl_->loop().Submit(std::move(request), std::move(on_done));
}
absl::StatusOr<RequestId> Engine::Submit(EmbedRequest request, OnEmbed on_done) {
  return impl_->loop().Submit(std::move(request), std::move(on_done));
}
void Engine::Cancel(RequestId id) { impl_->loop().Cancel(id); }

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

absl::StatusOr<EmbedResult> Engine::Embed(EmbedRequest request) {
  std::promise<absl::StatusOr<EmbedResult>> done;
  RETURN_IF_ERROR(Submit(std::move(request), [&](absl::StatusOr<EmbedResult> r) {
                    done.set_value(std::move(r));
                  }).status());
  return done.get_future().get();
}

EngineStats Engine::Stats() const { return impl_->loop().Stats(); }

}  // namespace crossover::llm
