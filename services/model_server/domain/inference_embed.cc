// Inference: mean-pooled hidden states of texts.
#include <cmath>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/model_server/domain/field_error.h"
#include "services/model_server/domain/inference.h"

namespace crossover::inference {
namespace {

// OpenAI's limit of one request.
constexpr size_t kMaxTexts = 2048;

// The first `dimensions` components, scaled to length 1. A vector of zeros stays one.
std::vector<float> Normalised(std::vector<float> vector, std::optional<int64_t> dimensions) {
  if (dimensions) vector.resize(static_cast<size_t>(*dimensions));
  double squares = 0;
  for (const float component : vector) squares += static_cast<double>(component) * component;
  const double factor = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (float& component : vector) component = static_cast<float>(component * factor);
  return vector;
}

// One Embed call. Keeps itself alive through the engine's callback.
class RunningEmbedding final : public Generation,
                               public std::enable_shared_from_this<RunningEmbedding> {
 public:
  RunningEmbedding(ModelLease lease, std::optional<int64_t> dimensions, InferenceObserver& observer,
                   Inference::OnEmbed done)
      : dimensions_(dimensions),
        observer_(observer),
        lease_(std::move(lease)),
        answer_{.start = {lease_.digest(), lease_.base().tokenizer}},
        done_(std::move(done)) {}

  absl::Status Submit(llm::EmbedRequest request) {
    GenerationEngine& engine = lease_.engine();
    const auto id = engine.Embed(std::move(request), [self = shared_from_this()](auto result) {
      self->Done(std::move(result));
    });
    if (!id.ok()) return id.status();
    std::lock_guard lock(mutex_);
    id_ = *id;
    if (cancelled_ && !ended_) engine.Cancel(id_);
    return absl::OkStatus();
  }

  void Cancel() override {
    // Under the lock, so that the lease, and with it the engine, lives as long as it is told.
    std::lock_guard lock(mutex_);
    if (cancelled_ || ended_) return;
    cancelled_ = true;
    if (id_ != 0) lease_.engine().Cancel(id_);
  }

 private:
  void Done(absl::StatusOr<llm::EmbedResult> result) {
    std::unique_lock lock(mutex_);
    ended_ = true;
    ModelLease lease = std::move(lease_);
    absl::Status status = result.status();
    if (cancelled_)
      status = Error(absl::StatusCode::kCancelled, "CALL_CANCELLED", "the request was cancelled");
    lock.unlock();
    if (status.ok()) status = Fill(*std::move(result));
    lease = {};
    observer_.OnScore(status, answer_.usage);
    if (status.ok()) {
      done_(std::move(answer_));
    } else {
      done_(status);
    }
  }

  absl::Status Fill(llm::EmbedResult result) {
    answer_.usage.input = result.prompt_tokens;
    for (std::vector<float>& vector : result.embeddings) {
      const int64_t width = static_cast<int64_t>(vector.size());
      if (dimensions_.value_or(1) > width) {
        return FieldError("dimensions",
                          absl::StrCat("must be at most ", width, ", the model's hidden size"));
      }
      answer_.embeddings.push_back(Normalised(std::move(vector), dimensions_));
    }
    return absl::OkStatus();
  }

  const std::optional<int64_t> dimensions_;
  InferenceObserver& observer_;
  std::mutex mutex_;
  ModelLease lease_;
  EmbedAnswer answer_;
  Inference::OnEmbed done_;
  RequestId id_ = 0;
  bool cancelled_ = false;
  bool ended_ = false;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Generation>> Inference::Embed(const EmbedCommand& command,
                                                             OnEmbed done) {
  auto running = StartEmbed(command, std::move(done));
  if (!running.ok()) observer_.OnScore(running.status(), {});
  return running;
}

absl::StatusOr<std::shared_ptr<Generation>> Inference::StartEmbed(const EmbedCommand& command,
                                                                  OnEmbed done) {
  if (command.model.empty()) return FieldError("model", "is required");
  if (command.texts.empty() || command.texts.size() > kMaxTexts)
    return FieldError(command.list_field, absl::StrCat("must hold 1 to ", kMaxTexts, " texts"));
  if (command.dimensions.value_or(1) < 1) return FieldError("dimensions", "must be at least 1");
  ASSIGN_OR_RETURN(ModelLease lease, models_.Acquire(command.model, command.patience));
  llm::EmbedRequest request{.adapter = lease.adapter(), .caller = command.caller};
  for (size_t i = 0; i < command.texts.size(); ++i) {
    const Prompt& text = command.texts[i];
    const std::string field = i < command.fields.size()
                                  ? command.fields[i]
                                  : absl::StrCat(command.list_field, "[", i, "]");
    const auto* words = std::get_if<std::string>(&text);
    if (words != nullptr && words->empty()) return FieldError(field, "may not be empty");
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, PromptIds(lease.base(), text, field, 0));
    request.texts.push_back(std::move(ids));
  }
  const auto running = std::make_shared<RunningEmbedding>(std::move(lease), command.dimensions,
                                                          observer_, std::move(done));
  RETURN_IF_ERROR(running->Submit(std::move(request)));
  return running;
}

}  // namespace crossover::inference
