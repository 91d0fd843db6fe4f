// Answers on their way into protobuf messages.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "common/rpc/stream.h"
#include "services/model_server/domain/inference.h"
#include "services/model_server/transport/proto_convert.h"

namespace crossover::inference {

// Writes pieces into a server stream.
class StreamSink final : public AnswerSink {
 public:
  StreamSink(rpc::Stream<pb::GenerateResponse> stream, bool with_logprobs)
      : stream_(std::move(stream)), with_logprobs_(with_logprobs) {}

  void OnStart(const AnswerStart& start) override;
  void OnPiece(AnswerPiece piece) override;
  void OnDone(absl::StatusOr<AnswerSummary> summary) override;

 private:
  const rpc::Stream<pb::GenerateResponse> stream_;
  const bool with_logprobs_;
  AnswerStart start_;
  bool first_ = true;
};

// The requests of one GenerateBatch call; calls `done` when all have ended, with the first error if
// there was one.
class Batch : public std::enable_shared_from_this<Batch> {
 public:
  Batch(pb::GenerateBatchResponse* response, int count, std::function<void(absl::Status)> done);

  // The sink of request `index`.
  std::shared_ptr<AnswerSink> Sink(int index, bool with_logprobs);
  void Add(std::shared_ptr<Generation> generation);
  // Request was not started.
  void Fail(const absl::Status& status) { Ended(status); }
  // Stops what runs; `done` still comes.
  void Cancel();

 private:
  friend class BatchSink;
  void Ended(const absl::Status& status);

  pb::GenerateBatchResponse* const response_;  // Each sink writes its own result only.
  std::function<void(absl::Status)> done_;
  std::mutex mutex_;
  int waiting_for_;
  bool cancelled_ = false;
  absl::Status failure_;
  std::vector<std::shared_ptr<Generation>> generations_;
};

}  // namespace crossover::inference
