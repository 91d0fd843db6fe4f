// Doubles of the domain's ports: an engine that answers what it is told, and a loader that makes
// such engines.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/model_server/domain/engine.h"

namespace crossover::inference {

// A tokenizer of all bytes with ChatML's control tokens, and its template. Ids 0 to 255 are bytes.
std::shared_ptr<const llm::Tokenizer> ByteTokenizer();
inline constexpr char kFakeTemplate[] =
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// Thread-safe. Calls back from a thread of its own, a token (one byte) at a time. Scores every
// token -0.5; continuations that begin with 'c' are greedy. A text's embedding is (its first token,
// its length, 0).
class FakeEngine final : public GenerationEngine {
 public:
  using Answer = std::function<std::string(const llm::GenerateRequest&)>;

  FakeEngine();
  ~FakeEngine() override;

  absl::Status LoadAdapter(const std::string& key, const std::filesystem::path& folder) override;
  absl::Status UnloadAdapter(const std::string& key) override;
  int64_t AdapterBytes(const std::string& key) const override;
  absl::StatusOr<RequestId> Generate(llm::GenerateRequest request, OnDelta on_delta,
                                     OnDone on_done) override;
  absl::StatusOr<RequestId> Score(llm::ScoreRequest request, OnScore on_done) override;
  absl::StatusOr<RequestId> Embed(llm::EmbedRequest request, OnEmbed on_done) override;
  void Cancel(RequestId id) override;
  llm::EngineStats Stats() const override;

  // What requests are answered with; "hello" at first.
  void SetAnswer(Answer answer);
  // While held, requests stop before their second token, scores before they are given.
  void Hold();
  void Release();
  // While held, LoadAdapter does not return.
  void HoldLoads();
  void ReleaseLoads();
  // What every adapter takes in memory; 0 at first, which says nothing.
  void SetAdapterBytes(int64_t bytes);
  // Requests of any kind that may be under way; one more is QUEUE_FULL, also one of a call that was
  // let in before, as the engine would not do: so a part can fail.
  void SetCapacity(size_t capacity);
  // What Stats tells, but for `running` and `stalled_seconds`.
  void SetStats(llm::EngineStats stats);
  // What Stats tells of a batch that makes no progress.
  void SetStalled(double seconds);

  std::vector<llm::GenerateRequest> Requests() const;
  std::vector<llm::ScoreRequest> Scores() const;
  std::set<std::string> Adapters() const;
  int Cancelled() const;
  // Times that an adapter was unloaded that was not there.
  int UnknownUnloads() const;
  // Blocks until so many requests were cancelled, at most 10 s; false if they weren't.
  bool WaitForCancelled(int count) const;
  bool WaitForRequests(size_t count) const;
  // Until so many calls of LoadAdapter are held.
  bool WaitForHeldLoads(int count) const;

 private:
  struct Job {
    RequestId id = 0;
    llm::GenerateRequest request;
    OnDelta on_delta;
    OnDone on_done;
    llm::ScoreRequest score;
    OnScore on_score;
    llm::EmbedRequest embed;
    OnEmbed on_embed;
  };

  absl::Status TakePlace();  // With the lock held.
  void Run();
  void Answer1(const Job& job);
  void AnswerScore(const Job& job);
  void AnswerEmbed(const Job& job);
  bool EndUncounted(const Job& job);
  // False if the request is cancelled.
  bool MayGoOn(RequestId id, size_t token);

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Answer answer_ = [](const llm::GenerateRequest&) { return "hello"; };
  bool held_ = false;
  bool loads_held_ = false;
  int held_loads_ = 0;
  int unknown_unloads_ = 0;
  int64_t adapter_bytes_ = 0;
  bool stopping_ = false;
  size_t capacity_ = 100;
  llm::EngineStats stats_;
  double stalled_seconds_ = 0;
  RequestId next_id_ = 1;
  std::deque<Job> jobs_;
  size_t under_way_ = 0;
  std::set<RequestId> cancel_;
  int cancelled_ = 0;
  std::vector<llm::GenerateRequest> requests_;
  std::vector<llm::ScoreRequest> scores_;
  std::set<std::string> adapters_;
  std::thread thread_;
};

class FakeBaseLoader final : public BaseLoader {
 public:
  absl::StatusOr<std::unique_ptr<LoadedBase>> Load(const std::string& digest,
                                                   const std::filesystem::path& base) override;
  absl::Status Inspect(const std::filesystem::path& base) override;

  // Engine of the base with this digest; nullptr if it was not loaded.
  FakeEngine* engine(const std::string& digest);
  int loads() const;
  // File or folder of the last base that was loaded.
  std::filesystem::path loaded_from() const;
  int inspections() const;
  // From now on Load and Inspect fail with this.
  void Fail(absl::Status status);
  // From now on Load calls this first, which may block.
  void OnLoad(std::function<void()> hook);

 private:
  mutable std::mutex mutex_;
  std::function<void()> on_load_;
  absl::Status failure_;
  std::map<std::string, FakeEngine*> engines_;
  std::filesystem::path loaded_from_;
  int loads_ = 0;
  int inspections_ = 0;
};

}  // namespace crossover::inference
