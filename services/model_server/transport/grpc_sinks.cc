#include "services/model_server/transport/grpc_sinks.h"

#include <map>

namespace crossover::inference {
namespace {

// A reader that falls behind by this many pieces has all but gone; an answer is never longer than
// the model's context.
constexpr size_t kMaxPending = size_t{1} << 20;

}  // namespace

void StreamSink::OnStart(const AnswerStart& start) { start_ = start; }

void StreamSink::OnPiece(AnswerPiece piece) {
  pb::GenerateResponse response;
  response.set_index(static_cast<int32_t>(piece.index));
  response.set_text(std::move(piece.text));
  for (const llm::GeneratedToken& token : piece.tokens) {
    response.add_tokens(token.id);
    if (with_logprobs_) ToProto(token, *start_.tokenizer, response.add_logprobs());
  }
  for (const llm::ToolCall& call : piece.tool_calls) ToProto(call, response.add_tool_calls());
  response.set_finish_reason(std::move(piece.finish_reason));
  if (std::exchange(first_, false)) response.set_system_fingerprint(start_.fingerprint);
  stream_.Write(std::move(response), kMaxPending);
}

void StreamSink::OnDone(absl::StatusOr<AnswerSummary> summary) {
  if (summary.ok()) {
    pb::GenerateResponse last;
    if (first_) last.set_system_fingerprint(start_.fingerprint);
    ToProto(summary->usage, last.mutable_usage());
    ToProto(summary->timing, last.mutable_timing());
    stream_.Write(std::move(last), kMaxPending);
  }
  stream_.Finish(summary.status());
}

// Gathers the answers of one request of a batch.
class BatchSink final : public AnswerSink {
 public:
  BatchSink(std::shared_ptr<Batch> batch, pb::GenerateBatchResponse::Result* result,
            bool with_logprobs)
      : batch_(std::move(batch)), result_(result), with_logprobs_(with_logprobs) {}

  void OnStart(const AnswerStart& start) override { start_ = start; }

  void OnPiece(AnswerPiece piece) override {
    pb::GenerateBatchResponse::Answer& answer = answers_[piece.index];
    answer.set_index(static_cast<int32_t>(piece.index));
    answer.mutable_text()->append(piece.text);
    for (const llm::GeneratedToken& token : piece.tokens) {
      answer.add_tokens(token.id);
      if (with_logprobs_) ToProto(token, *start_.tokenizer, answer.add_logprobs());
    }
    for (const llm::ToolCall& call : piece.tool_calls) ToProto(call, answer.add_tool_calls());
    if (!piece.finish_reason.empty()) answer.set_finish_reason(piece.finish_reason);
  }

  void OnDone(absl::StatusOr<AnswerSummary> summary) override {
    if (summary.ok()) {
      for (auto& [index, answer] : answers_) *result_->add_answers() = std::move(answer);
      ToProto(summary->usage, result_->mutable_usage());
      ToProto(summary->timing, result_->mutable_timing());
      result_->set_system_fingerprint(start_.fingerprint);
    }
    batch_->Ended(summary.status());
  }

 private:
  const std::shared_ptr<Batch> batch_;
  pb::GenerateBatchResponse::Result* const result_;
  const bool with_logprobs_;
  AnswerStart start_;
  std::map<int64_t, pb::GenerateBatchResponse::Answer> answers_;
};

Batch::Batch(pb::GenerateBatchResponse* response, int count, std::function<void(absl::Status)> done)
    : response_(response), done_(std::move(done)), waiting_for_(count) {
  for (int i = 0; i < count; ++i) response_->add_results();
}

std::shared_ptr<AnswerSink> Batch::Sink(int index, bool with_logprobs) {
  return std::make_shared<BatchSink>(shared_from_this(), response_->mutable_results(index),
                                     with_logprobs);
}

void Batch::Add(std::shared_ptr<Generation> generation) {
  std::unique_lock lock(mutex_);
  generations_.push_back(generation);
  const bool cancel = cancelled_;
  lock.unlock();
  if (cancel) generation->Cancel();
}

void Batch::Cancel() {
  std::unique_lock lock(mutex_);
  cancelled_ = true;
  const auto generations = generations_;
  lock.unlock();
  for (const auto& generation : generations) generation->Cancel();
}

void Batch::Ended(const absl::Status& status) {
  std::unique_lock lock(mutex_);
  const bool first_failure = !status.ok() && failure_.ok();
  if (first_failure) failure_ = status;
  const bool last = --waiting_for_ == 0;
  lock.unlock();
  if (first_failure && !last) Cancel();
  if (last) done_(failure_);
}

}  // namespace crossover::inference
