#include "services/model_server/domain/joined_generations.h"

#include <algorithm>
#include <mutex>
#include <utility>

namespace crossover::inference {
namespace {

class JoinedGenerations final : public Generation,
                                public std::enable_shared_from_this<JoinedGenerations> {
 public:
  // One more is waited for until all are started.
  JoinedGenerations(std::shared_ptr<AnswerSink> sink, size_t count)
      : sink_(std::move(sink)), waiting_for_(count + 1) {}

  void Cancel() override {
    std::unique_lock lock(mutex_);
    cancelled_ = true;
    const auto generations = generations_;
    lock.unlock();
    for (const auto& generation : generations) generation->Cancel();
  }

  void Add(std::shared_ptr<Generation> generation) {
    std::unique_lock lock(mutex_);
    generations_.push_back(generation);
    const bool cancel = cancelled_;
    lock.unlock();
    if (cancel) generation->Cancel();
  }

  // The commands from here on could not be started: nobody hears of the others.
  void Abandon(size_t not_started) {
    {
      std::lock_guard lock(mutex_);
      silent_ = true;
      waiting_for_ -= not_started;
    }
    Cancel();
  }

  void Start(const AnswerStart& start) {
    if (!std::exchange(started_, true)) sink_->OnStart(start);
  }

  // Under the lock, because an engine's thread may answer while others are being started. The sink
  // must not cancel from here.
  void Piece(AnswerPiece piece) {
    std::lock_guard lock(mutex_);
    if (!silent_ && failure_.ok()) sink_->OnPiece(std::move(piece));
  }

  void Ended(const absl::StatusOr<AnswerSummary>& summary) {
    std::unique_lock lock(mutex_);
    const bool first_failure = !summary.ok() && failure_.ok();
    if (summary.ok()) {
      Add(*summary);
    } else if (first_failure) {
      failure_ = summary.status();
    }
    Leave(std::move(lock), first_failure);
  }

  void AllStarted() { Leave(std::unique_lock(mutex_), false); }

 private:
  void Leave(std::unique_lock<std::mutex> lock, bool cancel_others) {
    const bool last = --waiting_for_ == 0;
    const bool silent = silent_;
    lock.unlock();
    if (cancel_others && !last) Cancel();
    if (!last || silent) return;
    if (failure_.ok()) {
      sink_->OnDone(summary_);
    } else {
      sink_->OnDone(failure_);
    }
  }

  void Add(const AnswerSummary& other) {
    AnswerSummary& sum = summary_;
    const bool first = sum.timing.total == absl::ZeroDuration();
    sum.usage.input += other.usage.input;
    sum.usage.cached_input += other.usage.cached_input;
    sum.usage.output += other.usage.output;
    if (first || other.timing.first_token < sum.timing.first_token)
      sum.timing.first_token = other.timing.first_token;
    if (first) sum.timing.queue = other.timing.queue;
    sum.timing.total = std::max(sum.timing.total, other.timing.total);
  }

  const std::shared_ptr<AnswerSink> sink_;
  bool started_ = false;  // Of the thread that starts.
  std::mutex mutex_;
  size_t waiting_for_;
  bool cancelled_ = false;
  bool silent_ = false;
  absl::Status failure_;
  AnswerSummary summary_;
  std::vector<std::shared_ptr<Generation>> generations_;
};

// One command's part of the sink.
class PartSink final : public AnswerSink {
 public:
  PartSink(std::shared_ptr<JoinedGenerations> whole, int64_t first_index)
      : whole_(std::move(whole)), first_index_(first_index) {}

  void OnStart(const AnswerStart& start) override { whole_->Start(start); }
  void OnPiece(AnswerPiece piece) override {
    piece.index += first_index_;
    whole_->Piece(std::move(piece));
  }
  void OnDone(absl::StatusOr<AnswerSummary> summary) override { whole_->Ended(summary); }

 private:
  const std::shared_ptr<JoinedGenerations> whole_;
  const int64_t first_index_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Generation>> GenerateAll(
    Inference& inference, const std::vector<GenerateCommand>& commands,
    std::shared_ptr<AnswerSink> sink) {
  const auto whole = std::make_shared<JoinedGenerations>(std::move(sink), commands.size());
  const uint64_t call = inference.NewCall();
  for (size_t i = 0; i < commands.size(); ++i) {
    GenerateCommand command = commands[i];
    command.call = call;
    const int64_t n = command.sampling.n.value_or(1);
    auto part =
        inference.Generate(command, std::make_shared<PartSink>(whole, static_cast<int64_t>(i) * n));
    if (!part.ok()) {
      whole->Abandon(commands.size() - i);
      whole->AllStarted();
      return part.status();
    }
    whole->Add(*std::move(part));
  }
  whole->AllStarted();
  return whole;
}

}  // namespace crossover::inference
