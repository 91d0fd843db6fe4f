#include "services/model_server/transport/openai_http.h"

#include <utility>

#include "common/http/async.h"
#include "common/status/error.h"
#include "services/model_server/domain/joined_generations.h"
#include "services/model_server/transport/answer_request.h"
#include "services/model_server/transport/mailbox.h"
#include "services/model_server/transport/one_shot.h"
#include "services/model_server/transport/openai_completions.h"
#include "services/model_server/transport/openai_embeddings.h"
#include "services/model_server/transport/openai_json.h"
#include "services/model_server/transport/running_requests.h"

namespace crossover::inference {
namespace {

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

// A program in front of this one, which holds the key, may say who asks.
std::string CallerOf(const http::Request& request) {
  return std::string(request.headers.Get("x-crossover-caller").value_or(""));
}

absl::Status Draining() {
  return Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING", "the model server is stopping");
}

}  // namespace

class OpenAiHttp::Impl {
 public:
  Impl(OpenAiOptions options, Inference& inference, UuidGenerator& ids, Clock& clock)
      : options_(std::move(options)),
        inference_(inference),
        ids_(ids),
        clock_(clock),
        started_(absl::ToUnixSeconds(clock.Now())),
        desk_(options_.threads, options_.queue) {}

  void Drain(absl::Duration grace) { running_->Drain(grace); }

  http::Response Models(const http::Request& request) const {
    const absl::Status key = CheckKey(request, options_.api_key);
    if (!key.ok()) return ErrorResponse(key);
    return http::Response::Json(200, Dump(ModelsJson(inference_.models().List(), started_)));
  }

  http::Task<void> Chat(http::AsyncExchange& exchange) {
    const auto entry = std::make_shared<RunningRequests::Entry>(running_);
    if (!co_await Admit(exchange, *entry)) co_return;
    absl::StatusOr<ChatRequest> request = co_await Parse<ChatRequest>(exchange, ParseChatRequest);
    if (!request.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(request.status()));
      co_return;
    }
    request->command.caller = CallerOf(exchange.request());
    request->command.patience = PatienceOf(entry);
    exchange.OnDisconnect([entry] { entry->Cancel(); });
    const auto mailbox = std::make_shared<Mailbox>(exchange.executor());
    RequestDesk::Start start = [this, command = request->command, mailbox] {
      return inference_.Generate(command, mailbox);
    };
    const absl::Status begun = co_await desk_.Begin(entry, std::move(start));
    if (!begun.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(begun));
      co_return;
    }
    const ChatWriter writer(Head("chatcmpl-", request->command.model, mailbox->start()), *request,
                            *mailbox->start().tokenizer);
    co_await AnswerRequest(exchange, writer,
                           {.stream = request->stream,
                            .include_usage = request->include_usage,
                            .choices = request->command.sampling.n.value_or(1)},
                           *mailbox);
  }

  http::Task<void> Completions(http::AsyncExchange& exchange) {
    const auto entry = std::make_shared<RunningRequests::Entry>(running_);
    if (!co_await Admit(exchange, *entry)) co_return;
    absl::StatusOr<CompletionsRequest> request =
        co_await Parse<CompletionsRequest>(exchange, ParseCompletionsRequest);
    if (!request.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(request.status()));
      co_return;
    }
    for (GenerateCommand& command : request->commands) {
      command.caller = CallerOf(exchange.request());
      command.patience = PatienceOf(entry);
    }
    exchange.OnDisconnect([entry] { entry->Cancel(); });
    absl::StatusOr<ScoreAnswer> scores = ScoreAnswer{};
    if (request->scores_prompts()) scores = co_await ScorePrompts(exchange, entry, *request);
    const auto mailbox = std::make_shared<Mailbox>(exchange.executor());
    absl::Status begun = scores.status();
    if (begun.ok() && request->generates) {
      RequestDesk::Start start = [this, commands = request->commands, mailbox] {
        return GenerateAll(inference_, commands, mailbox);
      };
      begun = co_await desk_.Begin(entry, std::move(start));
    }
    if (!begun.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(begun));
      co_return;
    }
    const AnswerStart& answering = request->generates ? mailbox->start() : scores->start;
    const CompletionsWriter writer(Head("cmpl-", request->model(), answering), *request, *scores,
                                   *answering.tokenizer);
    if (!request->generates) {
      (void)co_await exchange.Respond(http::Response::Json(200, Dump(writer.EchoOnly())));
      co_return;
    }
    co_await AnswerRequest(exchange, writer,
                           {.stream = request->stream,
                            .include_usage = request->include_usage,
                            .choices = request->choices()},
                           *mailbox);
  }

  http::Task<void> Embeddings(http::AsyncExchange& exchange) {
    const auto entry = std::make_shared<RunningRequests::Entry>(running_);
    if (!co_await Admit(exchange, *entry)) co_return;
    absl::StatusOr<EmbeddingsRequest> request =
        co_await Parse<EmbeddingsRequest>(exchange, ParseEmbeddingsRequest);
    if (!request.ok()) {
      (void)co_await exchange.Respond(ErrorResponse(request.status()));
      co_return;
    }
    request->command.caller = CallerOf(exchange.request());
    request->command.patience = PatienceOf(entry);
    exchange.OnDisconnect([entry] { entry->Cancel(); });
    const auto shot = std::make_shared<OneShot<absl::StatusOr<EmbedAnswer>>>(exchange.executor());
    RequestDesk::Start start = [this, command = request->command, shot] {
      return inference_.Embed(
          command, [shot](absl::StatusOr<EmbedAnswer> answer) { shot->Put(std::move(answer)); });
    };
    const absl::Status begun = co_await desk_.Begin(entry, std::move(start));
    absl::StatusOr<EmbedAnswer> answer = EmbedAnswer{};
    if (begun.ok()) {
      answer = co_await shot->Get();
    } else {
      answer = begun;
    }
    // GCC 12 destroys the operands of a conditional expression inside co_await twice.
    http::Response response;
    if (answer.ok()) {
      response = http::Response::Json(200, Dump(EmbeddingsJson(*request, *answer)));
    } else {
      response = ErrorResponse(answer.status());
    }
    (void)co_await exchange.Respond(std::move(response));
  }

 private:
  // Answers and returns false if the request may not go on.
  http::Task<bool> Admit(http::AsyncExchange& exchange, const RunningRequests::Entry& entry) {
    const absl::Status admitted =
        entry.admitted() ? CheckKey(exchange.request(), options_.api_key) : Draining();
    if (admitted.ok()) co_return true;
    (void)co_await exchange.Respond(ErrorResponse(admitted));
    co_return false;
  }

  // A large body is read on a worker: it would hold up the streams of this thread.
  template <typename T>
  http::Task<absl::StatusOr<T>> Parse(http::AsyncExchange& exchange,
                                      absl::StatusOr<T> (*parse)(std::string_view)) {
    constexpr size_t kReadAtOnce = 64 << 10;
    std::string& text = exchange.request().body;
    if (text.size() <= kReadAtOnce) co_return parse(text);
    const auto body = std::make_shared<const std::string>(std::move(text));
    std::function<absl::StatusOr<T>()> read = [body, parse] { return parse(*body); };
    co_return co_await desk_.Read<T>(std::move(read));
  }

  http::Task<absl::StatusOr<ScoreAnswer>> ScorePrompts(
      http::AsyncExchange& exchange, std::shared_ptr<RunningRequests::Entry> entry,
      const CompletionsRequest& request) {
    const auto shot = std::make_shared<OneShot<absl::StatusOr<ScoreAnswer>>>(exchange.executor());
    RequestDesk::Start start = [this, command = request.PromptScores(), shot] {
      return inference_.Score(
          command, [shot](absl::StatusOr<ScoreAnswer> answer) { shot->Put(std::move(answer)); });
    };
    const absl::Status begun = co_await desk_.Begin(entry, std::move(start));
    if (!begun.ok()) co_return begun;
    co_return co_await shot->Get();
  }

  AnswerHead Head(const char* prefix, const std::string& model, const AnswerStart& start) {
    return {.id = prefix + ids_.NextId(),
            .created = absl::ToUnixSeconds(clock_.Now()),
            .model = model,
            .fingerprint = start.fingerprint};
  }

  const OpenAiOptions options_;
  Inference& inference_;
  UuidGenerator& ids_;
  Clock& clock_;
  const int64_t started_;
  const std::shared_ptr<RunningRequests> running_ = std::make_shared<RunningRequests>();
  RequestDesk desk_;
};

OpenAiHttp::OpenAiHttp(OpenAiOptions options, Inference& inference, UuidGenerator& ids,
                       Clock& clock, http::Server& server)
    : impl_(std::make_unique<Impl>(std::move(options), inference, ids, clock)) {
  const http::RouteOptions limits{.max_body_bytes = kMaxOpenAiBodyBytes};
  server.async().Handle(
      "POST", "/v1/chat/completions",
      [this](http::AsyncExchange& exchange) { return impl_->Chat(exchange); }, limits);
  server.async().Handle(
      "POST", "/v1/completions",
      [this](http::AsyncExchange& exchange) { return impl_->Completions(exchange); }, limits);
  server.async().Handle(
      "POST", "/v1/embeddings",
      [this](http::AsyncExchange& exchange) { return impl_->Embeddings(exchange); }, limits);
  server.Handle("GET", "/v1/models",
                [this](const http::Request& request) { return impl_->Models(request); });
}

OpenAiHttp::~OpenAiHttp() = default;

void OpenAiHttp::Drain(absl::Duration grace) { impl_->Drain(grace); }

}  // namespace crossover::inference
