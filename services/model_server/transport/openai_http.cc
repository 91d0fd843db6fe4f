#include "services/model_server/transport/openai_http.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/http/async.h"
#include "common/http/sse.h"
#include "common/status/error.h"
#include "services/model_server/transport/mailbox.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {
namespace {

namespace asio = boost::asio;

absl::Status CheckKey(const http::Request& request, const std::string& key) {
  if (key.empty()) return absl::OkStatus();
  const auto given = request.headers.Get("authorization");
  if (!given)
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_MISSING",
                 "send the key as 'Authorization: Bearer …'");
  if (*given != "Bearer " + key)
    return Error(absl::StatusCode::kUnauthenticated, "API_KEY_INVALID",
                 "this key is not valid here");
  return absl::OkStatus();
}

http::Headers AnswerHeaders(const http::Request& request, const std::string& id) {
  http::Headers headers;
  headers.Set("x-request-id", std::string(request.headers.Get("x-request-id").value_or(id)));
  return headers;
}

absl::Status Draining() {
  return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "the model server is stopping");
}

// The requests under way, from their first byte to the end of their coroutine.
class RunningRequests : public std::enable_shared_from_this<RunningRequests> {
 public:
  // Shared by the coroutine and the worker that begins its generation. Keeps the owner alive: a
  // coroutine that the server cut off is destroyed with the server, after everything else.
  class Entry {
   public:
    explicit Entry(std::shared_ptr<RunningRequests> owner)
        : owner_(std::move(owner)), admitted_(owner_->Enter()) {}
    // Cancels what was attached: whatever ends a coroutine, no slot stays taken. A request that has
    // ended ignores it.
    ~Entry() {
      if (generation_ != nullptr) generation_->Cancel();
      if (admitted_) owner_->Leave(generation_.get());
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // False while the server drains.
    bool admitted() const { return admitted_; }
    // Once, before the coroutine goes on.
    void Attach(std::shared_ptr<Generation> generation) {
      generation_ = std::move(generation);
      owner_->Add(generation_.get());
    }

   private:
    const std::shared_ptr<RunningRequests> owner_;
    const bool admitted_;
    std::shared_ptr<Generation> generation_;
  };

  void Drain(absl::Duration grace) {
    std::unique_lock lock(mutex_);
    draining_ = true;
    const auto none = [this] { return count_ == 0; };
    if (changed_.wait_for(lock, absl::ToChronoNanoseconds(grace), none)) return;
    cancel_all_ = true;
    for (Generation* generation : generations_) generation->Cancel();
    // Cancelled requests end at the next token; a client that does not read its error is cut off by
    // the server.
    changed_.wait_for(lock, absl::ToChronoNanoseconds(std::min(grace, kCancelTime)), none);
  }

 private:
  static constexpr absl::Duration kCancelTime = absl::Seconds(5);

  bool Enter() {
    std::lock_guard lock(mutex_);
    if (draining_) return false;
    ++count_;
    return true;
  }
  void Add(Generation* generation) {
    std::lock_guard lock(mutex_);
    generations_.insert(generation);
    if (cancel_all_) generation->Cancel();
  }
  void Leave(Generation* generation) {
    std::lock_guard lock(mutex_);
    generations_.erase(generation);
    --count_;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool draining_ = false;
  bool cancel_all_ = false;
  int count_ = 0;
  std::set<Generation*> generations_;
};

}  // namespace

class OpenAiHttp::Impl {
 public:
  Impl(OpenAiOptions options, Inference& inference, UuidGenerator& ids, Clock& clock)
      : options_(std::move(options)),
        inference_(inference),
        ids_(ids),
        clock_(clock),
        started_(absl::ToUnixSeconds(clock.Now())),
        workers_(static_cast<size_t>(options_.threads)) {}

  ~Impl() { workers_.join(); }

  void Drain(absl::Duration grace) { running_->Drain(grace); }

  http::Response Models(const http::Request& request) const {
    const absl::Status key = CheckKey(request, options_.api_key);
    if (!key.ok()) return ErrorResponse(key);
    return http::Response::Json(200, Dump(ModelsJson(inference_.models().List(), started_)));
  }

  http::Task<void> Chat(http::AsyncExchange& exchange) {
    const auto entry = std::make_shared<RunningRequests::Entry>(running_);
    const absl::Status admitted =
        entry->admitted() ? CheckKey(exchange.request(), options_.api_key) : Draining();
    if (!admitted.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(admitted));
      co_return;
    }
    const absl::StatusOr<ChatRequest> request = ParseChatRequest(exchange.request().body);
    if (!request.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(request.status()));
      co_return;
    }
    const auto mailbox = std::make_shared<Mailbox>(exchange.executor());
    const absl::StatusOr<std::shared_ptr<Generation>> generation =
        co_await Begin(request->command, mailbox, entry);
    if (!generation.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(generation.status()));
      co_return;
    }
    exchange.OnDisconnect([generation = *generation] { generation->Cancel(); });
    const AnswerHead head{.id = "chatcmpl-" + ids_.NextId(),
                          .created = absl::ToUnixSeconds(clock_.Now()),
                          .model = request->command.model,
                          .fingerprint = mailbox->start().fingerprint};
    if (request->stream) {
      co_await Stream(exchange, *request, head, *mailbox);
    } else {
      co_await Whole(exchange, *request, head, *mailbox);
    }
  }

 private:
  // Finding the model may load an adapter, and reading a long prompt takes a while: not on an io
  // thread.
  http::Task<absl::StatusOr<std::shared_ptr<Generation>>> Begin(
      GenerateCommand command, std::shared_ptr<Mailbox> mailbox,
      std::shared_ptr<RunningRequests::Entry> entry) {
    if (waiting_.fetch_add(1) >= options_.queue) {
      --waiting_;
      co_return Error(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                      "too many requests are waiting; try again later");
    }
    // The worker attaches, because the coroutine may not come back.
    auto begin = [this, command = std::move(command), mailbox,
                  entry]() -> http::Task<absl::StatusOr<std::shared_ptr<Generation>>> {
      auto generation = inference_.Generate(command, mailbox);
      if (generation.ok()) entry->Attach(*generation);
      co_return generation;
    };
    auto generation = co_await asio::co_spawn(workers_, std::move(begin), asio::use_awaitable);
    --waiting_;
    co_return generation;
  }

  http::Task<void> Whole(http::AsyncExchange& exchange, const ChatRequest& request,
                         const AnswerHead& head, Mailbox& mailbox) {
    std::vector<Choice> choices(static_cast<size_t>(request.command.sampling.n.value_or(1)));
    for (;;) {
      Mailbox::Letter letter = co_await mailbox.Next();
      if (const auto* piece = std::get_if<AnswerPiece>(&letter)) {
        Choice& choice = choices[static_cast<size_t>(piece->index)];
        choice.text += piece->text;
        choice.tokens.insert(choice.tokens.end(), piece->tokens.begin(), piece->tokens.end());
        if (piece->finish_reason.empty()) continue;
        choice.finish_reason = piece->finish_reason;
        choice.tool_calls = piece->tool_calls;
        continue;
      }
      const auto& summary = std::get<absl::StatusOr<AnswerSummary>>(letter);
      http::Response response =
          summary.ok() ? http::Response::Json(
                             200, Dump(CompletionJson(head, choices, summary->usage,
                                                      request.command.sampling.logprobs.has_value(),
                                                      *mailbox.start().tokenizer)))
                       : ErrorResponse(summary.status());
      for (const auto& [name, value] : AnswerHeaders(exchange.request(), head.id))
        response.headers.Set(name, value);
      if (summary.ok()) {
        response.headers.Set("openai-processing-ms",
                             absl::StrCat(absl::ToInt64Milliseconds(summary->timing.total)));
      }
      (void)co_await exchange.Respond(std::move(response));
      co_return;
    }
  }

  http::Task<void> Stream(http::AsyncExchange& exchange, const ChatRequest& request,
                          const AnswerHead& head, Mailbox& mailbox) {
    http::Headers headers = AnswerHeaders(exchange.request(), head.id);
    headers.Set("content-type", "text/event-stream");
    headers.Set("cache-control", "no-cache");
    if (!(co_await exchange.Start(200, std::move(headers))).ok()) co_return;
    for (int64_t i = 0; i < request.command.sampling.n.value_or(1); ++i) {
      const std::string frame = http::SseFrame(Dump(RoleChunkJson(head, i, request.include_usage)));
      if (!(co_await exchange.Write(frame)).ok()) co_return;
    }
    for (;;) {
      Mailbox::Letter letter = co_await mailbox.Next();
      std::string frame;
      if (const auto* piece = std::get_if<AnswerPiece>(&letter)) {
        frame = http::SseFrame(Dump(ChunkJson(head, *piece, request.include_usage,
                                              request.command.sampling.logprobs.has_value(),
                                              *mailbox.start().tokenizer)));
        if (!(co_await exchange.Write(std::move(frame))).ok()) co_return;
        continue;
      }
      const auto& summary = std::get<absl::StatusOr<AnswerSummary>>(letter);
      if (!summary.ok()) {
        frame = http::SseFrame(Dump(ErrorJson(summary.status())));
      } else {
        if (request.include_usage)
          frame = http::SseFrame(Dump(UsageChunkJson(head, summary->usage)));
        frame += http::SseFrame("[DONE]");
      }
      if ((co_await exchange.Write(std::move(frame))).ok()) (void)co_await exchange.Finish();
      co_return;
    }
  }

  const OpenAiOptions options_;
  Inference& inference_;
  UuidGenerator& ids_;
  Clock& clock_;
  const int64_t started_;
  std::atomic<int> waiting_{0};
  const std::shared_ptr<RunningRequests> running_ = std::make_shared<RunningRequests>();
  asio::thread_pool workers_;
};

OpenAiHttp::OpenAiHttp(OpenAiOptions options, Inference& inference, UuidGenerator& ids,
                       Clock& clock, http::Server& server)
    : impl_(std::make_unique<Impl>(std::move(options), inference, ids, clock)) {
  server.async().Handle("POST", "/v1/chat/completions",
                        [this](http::AsyncExchange& exchange) { return impl_->Chat(exchange); });
  server.Handle("GET", "/v1/models",
                [this](const http::Request& request) { return impl_->Models(request); });
}

OpenAiHttp::~OpenAiHttp() = default;

void OpenAiHttp::Drain(absl::Duration grace) { impl_->Drain(grace); }

}  // namespace crossover::inference
