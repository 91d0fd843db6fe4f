#include "services/model_server/engine/torch_engine.h"

#include <future>
#include <string>
#include <utility>

#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/base_text.h"

namespace crossover::inference {
namespace {

// The engine's reasons in the words of type/v1/error_reason.proto.
absl::Status Translate(const absl::Status& status) {
  const std::string reason = DetailOf(status).reason;
  const auto as = [&](const char* name) {
    ErrorDetail detail = DetailOf(status);
    detail.reason = name;
    return Error(status.code(), std::string(status.message()), std::move(detail));
  };
  if (reason == "ADAPTER_NOT_LOADED") return as("MODEL_NOT_FOUND");
  if (reason == "CONTEXT_TOO_LONG") return as("CONTEXT_LENGTH_EXCEEDED");
  if (reason == "EMPTY_PROMPT" || reason == "TOKEN_OUT_OF_RANGE" || reason == "BAD_SAMPLING" ||
      reason == "BAD_MIX")
    return as("FIELD_INVALID");
  return status;
}

class TorchEngine final : public GenerationEngine {
 public:
  explicit TorchEngine(std::unique_ptr<llm::Engine> engine) : engine_(std::move(engine)) {}

  absl::Status LoadAdapter(const std::string& key, const std::filesystem::path& folder) override {
    return engine_->LoadAdapter(key, folder.string(), /*content=*/key);
  }
  absl::Status UnloadAdapter(const std::string& key) override {
    return engine_->UnloadAdapter(key);
  }

  int64_t AdapterBytes(const std::string& key) const override {
    for (const llm::AdapterInfo& adapter : engine_->Adapters()) {
      if (adapter.key == key) return adapter.bytes;
    }
    return 0;
  }

  absl::StatusOr<RequestId> Generate(llm::GenerateRequest request, OnDelta on_delta,
                                     OnDone on_done) override {
    auto id = engine_->Submit(std::move(request), std::move(on_delta), std::move(on_done));
    if (!id.ok()) return Translate(id.status());
    return *id;
  }

  absl::StatusOr<RequestId> Score(llm::ScoreRequest request, OnScore on_done) override {
    auto id = engine_->Submit(std::move(request), std::move(on_done));
    if (!id.ok()) return Translate(id.status());
    return *id;
  }

  absl::StatusOr<RequestId> Embed(llm::EmbedRequest request, OnEmbed on_done) override {
    auto id = engine_->Submit(std::move(request), std::move(on_done));
    if (!id.ok()) return Translate(id.status());
    return *id;
  }

  void Cancel(RequestId id) override { engine_->Cancel(id); }
  llm::EngineStats Stats() const override { return engine_->Stats(); }

 private:
  std::unique_ptr<llm::Engine> engine_;
};

class TorchBaseLoader final : public BaseLoader {
 public:
  explicit TorchBaseLoader(TorchEngineOptions options) : options_(std::move(options)) {}

  absl::Status Inspect(const std::filesystem::path& base) override {
    return llm::ReadBaseText(base).status();
  }

  // On a thread that ends: one that has used OpenMP keeps a pool of threads for life, and with more
  // pools than cores libgomp lets the engine's threads sleep between parallel regions.
  absl::StatusOr<std::unique_ptr<LoadedBase>> Load(const std::string& digest,
                                                   const std::filesystem::path& path) override {
    return std::async(std::launch::async, [&] { return LoadHere(digest, path); }).get();
  }

 private:
  absl::StatusOr<std::unique_ptr<LoadedBase>> LoadHere(const std::string& digest,
                                                       const std::filesystem::path& path) const {
    auto base = std::make_unique<LoadedBase>();
    base->digest = digest;
    ASSIGN_OR_RETURN(const llm::BaseText text, llm::ReadBaseText(path));
    base->tokenizer = text.tokenizer;
    base->template_text = text.jinja;
    ASSIGN_OR_RETURN(base->chat, text.Chat());
    ASSIGN_OR_RETURN(const auto model, llm::BaseModel::Load(path.string(), options_.execution));
    base->architecture = std::string(llm::NameOf(model->config().architecture));
    base->bytes = model->bytes();
    llm::EngineOptions engine_options = options_.engine;
    engine_options.token_bytes = [tokenizer = base->tokenizer](int32_t id) {
      return tokenizer->IsSpecial(id) ? std::string() : std::string(tokenizer->Bytes(id));
    };
    ASSIGN_OR_RETURN(std::unique_ptr<llm::Engine> engine,
                     llm::Engine::Create(model, std::move(engine_options)));
    base->context_length = engine->max_sequence_tokens();
    base->engine = std::make_unique<TorchEngine>(std::move(engine));
    return base;
  }

  const TorchEngineOptions options_;
};

}  // namespace

std::unique_ptr<BaseLoader> NewTorchBaseLoader(TorchEngineOptions options) {
  return std::make_unique<TorchBaseLoader>(std::move(options));
}

}  // namespace crossover::inference
