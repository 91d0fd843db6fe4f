#include "services/model_server/domain/fake_engine.h"

#include <chrono>
#include <utility>

#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/pretokenizer.h"

namespace crossover::inference {

std::shared_ptr<const llm::Tokenizer> ByteTokenizer() {
  llm::Tokenizer::Parts parts;
  for (int byte = 0; byte < 256; ++byte)
    parts.tokens.emplace_back(llm::CharOfByte(static_cast<uint8_t>(byte)));
  for (const char* name : {"<|im_start|>", "<|im_end|>"}) {
    parts.added.push_back(
        {.text = name, .id = static_cast<int32_t>(parts.tokens.size()), .special = true});
    parts.tokens.emplace_back(name);
  }
  parts.patterns = {llm::patterns::kGpt2};
  return llm::Tokenizer::Create(std::move(parts)).value();
}

FakeEngine::FakeEngine() : thread_([this] { Run(); }) {}

FakeEngine::~FakeEngine() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    held_ = loads_held_ = false;
    changed_.notify_all();
  }
  thread_.join();
}

absl::Status FakeEngine::LoadAdapter(const std::string& key, const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "adapter_config.json"))
    return absl::NotFoundError("no adapter in the folder");
  std::unique_lock lock(mutex_);
  held_loads_ += loads_held_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !loads_held_; });
  adapters_.insert(key);
  return absl::OkStatus();
}

absl::Status FakeEngine::UnloadAdapter(const std::string& key) {
  std::lock_guard lock(mutex_);
  if (adapters_.erase(key) > 0) return absl::OkStatus();
  ++unknown_unloads_;
  return absl::NotFoundError(key);
}

absl::StatusOr<RequestId> FakeEngine::Generate(llm::GenerateRequest request, OnDelta on_delta,
                                               OnDone on_done) {
  std::lock_guard lock(mutex_);
  if (!request.adapter.empty() && !adapters_.contains(request.adapter))
    return absl::NotFoundError("ADAPTER_NOT_LOADED");
  RETURN_IF_ERROR(TakePlace());
  requests_.push_back(request);
  jobs_.push_back({next_id_,
                   std::move(request),
                   std::move(on_delta),
                   std::move(on_done),
                   {},
                   nullptr,
                   {},
                   nullptr});
  changed_.notify_all();
  return next_id_++;
}

absl::StatusOr<RequestId> FakeEngine::Score(llm::ScoreRequest request, OnScore on_done) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(TakePlace());
  scores_.push_back(request);
  jobs_.push_back(
      {next_id_, {}, nullptr, nullptr, std::move(request), std::move(on_done), {}, nullptr});
  changed_.notify_all();
  return next_id_++;
}

absl::StatusOr<RequestId> FakeEngine::Embed(llm::EmbedRequest request, OnEmbed on_done) {
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(TakePlace());
  jobs_.push_back(
      {next_id_, {}, nullptr, nullptr, {}, nullptr, std::move(request), std::move(on_done)});
  changed_.notify_all();
  return next_id_++;
}

absl::Status FakeEngine::TakePlace() {
  if (under_way_ >= capacity_)
    return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "the queue is full");
  ++under_way_;
  return absl::OkStatus();
}

void FakeEngine::Cancel(RequestId id) {
  std::lock_guard lock(mutex_);
  cancel_.insert(id);
  changed_.notify_all();
}

llm::EngineStats FakeEngine::Stats() const {
  std::lock_guard lock(mutex_);
  llm::EngineStats stats = stats_;
  stats.running = static_cast<int64_t>(under_way_);
  stats.stalled_seconds = stalled_seconds_;
  return stats;
}

void FakeEngine::SetAnswer(Answer answer) {
  std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void FakeEngine::Hold() {
  std::lock_guard lock(mutex_);
  held_ = true;
}

void FakeEngine::Release() {
  std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void FakeEngine::HoldLoads() {
  std::lock_guard lock(mutex_);
  loads_held_ = true;
}

void FakeEngine::ReleaseLoads() {
  std::lock_guard lock(mutex_);
  loads_held_ = false;
  changed_.notify_all();
}

void FakeEngine::SetAdapterBytes(int64_t bytes) {
  std::lock_guard lock(mutex_);
  adapter_bytes_ = bytes;
}

int64_t FakeEngine::AdapterBytes(const std::string& key) const {
  std::lock_guard lock(mutex_);
  return adapters_.contains(key) ? adapter_bytes_ : 0;
}

void FakeEngine::SetCapacity(size_t capacity) {
  std::lock_guard lock(mutex_);
  capacity_ = capacity;
}

void FakeEngine::SetStats(llm::EngineStats stats) {
  std::lock_guard lock(mutex_);
  stats_ = stats;
}

void FakeEngine::SetStalled(double seconds) {
  std::lock_guard lock(mutex_);
  stalled_seconds_ = seconds;
}

std::vector<llm::GenerateRequest> FakeEngine::Requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<llm::ScoreRequest> FakeEngine::Scores() const {
  std::lock_guard lock(mutex_);
  return scores_;
}

std::set<std::string> FakeEngine::Adapters() const {
  std::lock_guard lock(mutex_);
  return adapters_;
}

int FakeEngine::Cancelled() const {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

int FakeEngine::UnknownUnloads() const {
  std::lock_guard lock(mutex_);
  return unknown_unloads_;
}

bool FakeEngine::WaitForHeldLoads(int count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return held_loads_ >= count; });
}

bool FakeEngine::WaitForCancelled(int count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return cancelled_ >= count; });
}

bool FakeEngine::WaitForRequests(size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10),
                           [&] { return requests_.size() >= count; });
}

void FakeEngine::Run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    Answer1(job);
  }
}

bool FakeEngine::MayGoOn(RequestId id, size_t token) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !held_ || token == 0 || cancel_.contains(id); });
  return !cancel_.contains(id);
}

// False if it was cancelled.
bool FakeEngine::EndUncounted(const Job& job) {
  const bool cancelled = !MayGoOn(job.id, 1);
  std::lock_guard lock(mutex_);
  --under_way_;
  cancelled_ += cancelled;
  changed_.notify_all();
  return !cancelled;
}

void FakeEngine::AnswerScore(const Job& job) {
  llm::ScoreResult result;
  for (const auto& ids : job.score.continuations) {
    result.logprobs.emplace_back(ids.size(), -0.5f);
    result.greedy.push_back(ids.front() == 'c');
    if (job.score.top_logprobs == 0) continue;
    result.top.emplace_back();
    for (const int32_t id : ids) result.top.back().push_back({{'z', -0.25f}, {id, -0.5f}});
  }
  result.prompt_tokens = static_cast<int64_t>(job.score.prompt.size());
  if (!EndUncounted(job)) return job.on_score(absl::CancelledError("cancelled"));
  job.on_score(std::move(result));
}

void FakeEngine::AnswerEmbed(const Job& job) {
  llm::EmbedResult result;
  for (const auto& ids : job.embed.texts) {
    const float length = static_cast<float>(ids.size());
    result.embeddings.push_back({static_cast<float>(ids[0]), length, 0});
    result.prompt_tokens += static_cast<int64_t>(ids.size());
  }
  if (!EndUncounted(job)) return job.on_embed(absl::CancelledError("cancelled"));
  job.on_embed(std::move(result));
}

void FakeEngine::Answer1(const Job& job) {
  if (job.on_score) return AnswerScore(job);
  if (job.on_embed) return AnswerEmbed(job);
  Answer answer;
  {
    std::lock_guard lock(mutex_);
    answer = answer_;
  }
  const std::string text = answer(job.request);
  llm::GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(job.request.prompt.size());
  result.finish = llm::FinishReason::kStop;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!MayGoOn(job.id, i)) {
      result.finish = llm::FinishReason::kCancelled;
      break;
    }
    if (static_cast<int64_t>(i) == job.request.sampling.max_tokens) {
      result.finish = llm::FinishReason::kLength;
      break;
    }
    const llm::GeneratedToken token{
        static_cast<uint8_t>(text[i]), -0.25f, {{static_cast<uint8_t>(text[i]), -0.25f}}};
    result.tokens.push_back(token);
    result.text.push_back(text[i]);
    if (job.on_delta) job.on_delta({{token}, std::string(1, text[i])});
  }
  {
    std::lock_guard lock(mutex_);
    --under_way_;
    cancelled_ += result.finish == llm::FinishReason::kCancelled;
    changed_.notify_all();
  }
  job.on_done(std::move(result));
}

absl::StatusOr<std::unique_ptr<LoadedBase>> FakeBaseLoader::Load(
    const std::string& digest, const std::filesystem::path& base_path) {
  std::function<void()> on_load;
  {
    std::lock_guard lock(mutex_);
    on_load = on_load_;
  }
  if (on_load) on_load();
  std::lock_guard lock(mutex_);
  ++loads_;
  loaded_from_ = base_path;
  if (!failure_.ok()) return failure_;
  auto engine = std::make_unique<FakeEngine>();
  engines_[digest] = engine.get();
  auto base = std::make_unique<LoadedBase>();
  base->digest = digest;
  base->tokenizer = ByteTokenizer();
  base->template_text = kFakeTemplate;
  base->chat = llm::ChatTemplate::FromText(kFakeTemplate, base->tokenizer).value();
  base->architecture = "llama";
  base->context_length = 1024;
  base->bytes = 1000;
  base->engine = std::move(engine);
  return base;
}

void FakeBaseLoader::OnLoad(std::function<void()> hook) {
  std::lock_guard lock(mutex_);
  on_load_ = std::move(hook);
}

absl::Status FakeBaseLoader::Inspect(const std::filesystem::path&) {
  std::lock_guard lock(mutex_);
  ++inspections_;
  return failure_;
}

void FakeBaseLoader::Fail(absl::Status status) {
  std::lock_guard lock(mutex_);
  failure_ = std::move(status);
}

int FakeBaseLoader::inspections() const {
  std::lock_guard lock(mutex_);
  return inspections_;
}

FakeEngine* FakeBaseLoader::engine(const std::string& digest) {
  std::lock_guard lock(mutex_);
  const auto found = engines_.find(digest);
  return found == engines_.end() ? nullptr : found->second;
}

std::filesystem::path FakeBaseLoader::loaded_from() const {
  std::lock_guard lock(mutex_);
  return loaded_from_;
}

int FakeBaseLoader::loads() const {
  std::lock_guard lock(mutex_);
  return loads_;
}

}  // namespace crossover::inference
