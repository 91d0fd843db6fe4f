// An OpenAI-compatible server for tests: answers what it is told, keeps what it was asked.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/http/message.h"

namespace crossover::testing {

// Thread-safe. Listens on 127.0.0.1, any free port.
class FakeUpstream {
 public:
  // What a chat completion is answered with.
  struct Reply {
    int status = 200;
    std::string content =
        "hello";  // text of the assistant; with a status >= 400 the error's message
    std::string finish_reason = "stop";
    std::string system_fingerprint = "fp_fake";
    int prompt_tokens = 10;
    int completion_tokens = 2;
    http::Headers headers;  // added to the answer
    // Faults.
    bool stall = false;         // answers nothing until Release() or the client goes away
    int cut_after_pieces = -1;  // streaming: closes the connection after so many deltas
    std::string raw_body;       // if not empty: sent instead of a completion
  };
  using Responder = std::function<Reply(const http::Request&)>;

  FakeUpstream();
  ~FakeUpstream();

  std::string base_url() const;  // "http://127.0.0.1:PORT/v1"
  int port() const;

  // The same reply to everything, or one computed from the request (its body is the JSON the client
  // sent).
  void SetReply(Reply reply);
  void SetResponder(Responder responder);
  // Lets stalled calls go on.
  void Release();

  // Requests in order of arrival, /v1/chat/completions only.
  std::vector<http::Request> Requests() const;
  // Blocks until so many have arrived, at most 10 s; false if they haven't.
  bool WaitForRequests(int count) const;
  // Clients that went away before their answer was complete.
  int Disconnects() const;
  bool WaitForDisconnects(int count) const;

  // Stops answering: connections are refused from now on.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::testing
