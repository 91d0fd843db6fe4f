#include "common/testing/fake_upstream.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/http/server.h"
#include "common/http/sse.h"
#include "common/log/fake_logger.h"

namespace crossover::testing {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

nlohmann::json Usage(const FakeUpstream::Reply& reply) {
  return {{"prompt_tokens", reply.prompt_tokens},
          {"completion_tokens", reply.completion_tokens},
          {"total_tokens", reply.prompt_tokens + reply.completion_tokens}};
}

nlohmann::json Head(const FakeUpstream::Reply& reply, const nlohmann::json& request,
                    const char* object) {
  return {{"id", "chatcmpl-fake"},
          {"object", object},
          {"created", 1'800'000'000},
          {"model", request.value("model", "fake")},
          {"system_fingerprint", reply.system_fingerprint}};
}

std::string Completion(const FakeUpstream::Reply& reply, const nlohmann::json& request) {
  nlohmann::json body = Head(reply, request, "chat.completion");
  body["choices"] = {
      {{"index", 0},
       {"message", {{"role", "assistant"}, {"content", reply.content}, {"refusal", nullptr}}},
       {"logprobs", nullptr},
       {"finish_reason", reply.finish_reason}}};
  body["usage"] = Usage(reply);
  return body.dump();
}

// The text in pieces of a few bytes that end between UTF-8 characters.
std::vector<std::string> Pieces(const std::string& text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    size_t end = std::min(i + 4, text.size());
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    out.push_back(text.substr(i, end - i));
    i = end;
  }
  return out;
}

}  // namespace

struct FakeUpstream::Impl {
  Impl() : server({.worker_threads = 32}, logger) {
    server.HandleStream("POST", "/v1/chat/completions",
                        [this](http::Exchange& exchange) { Chat(exchange); });
    server.Handle("GET", "/v1/models", [](const http::Request&) {
      return http::Response::Json(
          200,
          R"({"object":"list","data":[{"id":"fake","object":"model","created":1,"owned_by":"fake"}]})");
    });
    const absl::Status status = server.Start();
    if (!status.ok()) {
      std::fprintf(stderr, "fake upstream: %s\n", status.ToString().c_str());
      std::abort();
    }
  }

  ~Impl() { Stop(); }

  void Stop() {
    {
      absl::MutexLock lock(&mutex);
      stopping = true;
    }
    server.Stop();
  }

  void Chat(http::Exchange& exchange) {
    Responder answer;
    int64_t releases = 0;
    {
      absl::MutexLock lock(&mutex);
      requests.push_back(exchange.request());
      answer = responder;
      releases = released;
    }
    exchange.OnDisconnect([this] {
      absl::MutexLock lock(&mutex);
      ++disconnects;
    });
    const Reply reply = answer(exchange.request());
    if (reply.stall && !WaitForRelease(exchange, releases)) return;
    Answer(exchange, reply);
  }

  // False if the client went away first.
  bool WaitForRelease(http::Exchange& exchange, int64_t before) {
    const auto go_on = [&] { return released != before || stopping; };
    while (!exchange.Disconnected()) {
      absl::MutexLock lock(&mutex);
      if (mutex.AwaitWithTimeout(absl::Condition(&go_on), absl::Milliseconds(5))) return !stopping;
    }
    return false;
  }

  static void Answer(http::Exchange& exchange, const Reply& reply) {
    const nlohmann::json request = nlohmann::json::parse(exchange.request().body, nullptr, false);
    http::Headers headers = reply.headers;
    headers.Set("Content-Type", "application/json");
    if (!reply.raw_body.empty()) {
      exchange.Respond({reply.status, headers, reply.raw_body}).IgnoreError();
    } else if (reply.status >= 400) {
      const nlohmann::json error = {{"error",
                                     {{"message", reply.content},
                                      {"type", "fake_error"},
                                      {"param", nullptr},
                                      {"code", "fake"}}}};
      exchange.Respond({reply.status, headers, error.dump()}).IgnoreError();
    } else if (!request.is_object() || !request.value("stream", false)) {
      exchange
          .Respond({reply.status, headers,
                    Completion(reply, request.is_object() ? request : nlohmann::json::object())})
          .IgnoreError();
    } else {
      StreamAnswer(exchange, reply, request, std::move(headers));
    }
  }

  static void StreamAnswer(http::Exchange& exchange, const Reply& reply,
                           const nlohmann::json& request, http::Headers headers) {
    headers.Set("Content-Type", "text/event-stream");
    if (!exchange.Start(200, std::move(headers)).ok()) return;
    const auto send = [&](nlohmann::json delta, const nlohmann::json& finish_reason) {
      nlohmann::json chunk = Head(reply, request, "chat.completion.chunk");
      chunk["choices"] = {
          {{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", finish_reason}}};
      return exchange.Write(http::SseFrame(chunk.dump())).ok();
    };
    if (!send({{"role", "assistant"}, {"content", ""}}, nullptr)) return;
    int count = 0;
    for (const std::string& piece : Pieces(reply.content)) {
      if (count++ == reply.cut_after_pieces) return;  // without Finish: the connection is cut
      if (!send({{"content", piece}}, nullptr)) return;
    }
    if (count == reply.cut_after_pieces) return;
    if (!send(nlohmann::json::object(), reply.finish_reason)) return;
    const auto options = request.find("stream_options");
    if (options != request.end() && options->value("include_usage", false)) {
      nlohmann::json chunk = Head(reply, request, "chat.completion.chunk");
      chunk["choices"] = nlohmann::json::array();
      chunk["usage"] = Usage(reply);
      if (!exchange.Write(http::SseFrame(chunk.dump())).ok()) return;
    }
    if (exchange.Write(http::SseFrame("[DONE]")).ok()) exchange.Finish().IgnoreError();
  }

  mutable absl::Mutex mutex;
  Responder responder = [](const http::Request&) { return Reply{}; };
  std::vector<http::Request> requests;
  int disconnects = 0;
  int64_t released = 0;
  bool stopping = false;
  FakeLogger logger;
  http::Server server;
};

FakeUpstream::FakeUpstream() : impl_(std::make_unique<Impl>()) {}
FakeUpstream::~FakeUpstream() = default;

int FakeUpstream::port() const { return impl_->server.port(); }
std::string FakeUpstream::base_url() const {
  return "http://127.0.0.1:" + std::to_string(port()) + "/v1";
}

void FakeUpstream::SetReply(Reply reply) {
  SetResponder([reply = std::move(reply)](const http::Request&) { return reply; });
}

void FakeUpstream::SetResponder(Responder responder) {
  absl::MutexLock lock(&impl_->mutex);
  impl_->responder = std::move(responder);
}

void FakeUpstream::Release() {
  absl::MutexLock lock(&impl_->mutex);
  ++impl_->released;
}

std::vector<http::Request> FakeUpstream::Requests() const {
  absl::MutexLock lock(&impl_->mutex);
  return impl_->requests;
}

bool FakeUpstream::WaitForRequests(int count) const {
  absl::MutexLock lock(&impl_->mutex);
  const auto enough = [&] { return static_cast<int>(impl_->requests.size()) >= count; };
  return impl_->mutex.AwaitWithTimeout(absl::Condition(&enough), kPatience);
}

int FakeUpstream::Disconnects() const {
  absl::MutexLock lock(&impl_->mutex);
  return impl_->disconnects;
}

bool FakeUpstream::WaitForDisconnects(int count) const {
  absl::MutexLock lock(&impl_->mutex);
  const auto enough = [&] { return impl_->disconnects >= count; };
  return impl_->mutex.AwaitWithTimeout(absl::Condition(&enough), kPatience);
}

void FakeUpstream::Stop() { impl_->Stop(); }

}  // namespace crossover::testing
