// One model's answer to one request, read out of a chat completion or of its stream.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/shadow_router/domain/sse.h"
#include "services/shadow_router/domain/system.h"

namespace crossover::router {

// How a call to an upstream ended.
enum class CallStatus {
  kOk,
  kConnectFailed,  // Refused, unreachable, no such host: no byte came back.
  kTimeout,
  kHttpError,  // A status other than 2xx; `http_status` says which.
  kBroken,     // The connection ended inside the answer, or the body could not be read as a
               // completion.
  kTooLarge,   // The answer passed the byte limit.
  kCancelled,  // The client went away.
};

// Upper-case name, as stored and shown: "OK", "CONNECT_FAILED" …
std::string_view ToString(CallStatus status);

struct Answer {
  CallStatus status = CallStatus::kOk;
  int http_status = 0;
  std::string error;  // For people; empty if status is kOk.

  std::string completion_id;  // `chatcmpl-…` of the upstream.
  std::string content;        // Of choice 0.
  std::string
      tool_calls;  // RFC 8785 form of choice 0's tool calls without ids; empty if it has none.
  std::string finish_reason;  // `stop`, `length`, `content_filter`, `tool_calls`; empty if the
                              // stream was cut.
  std::string model;
  std::string system_fingerprint;
  bool cached = false;  // The upstream says that it replayed a stored answer.
  Usage usage;

  bool streamed = false;
  // Both are time spent waiting for the upstream; what a slow client adds is not in them.
  absl::Duration ttft = absl::ZeroDuration();  // To the first byte of the body.
  absl::Duration latency = absl::ZeroDuration();

  // Answered, and neither cut by a token limit nor by a content filter.
  bool IsWhole() const;
};

// Reads a `chat.completion` body. INVALID_ARGUMENT if it is not one.
absl::StatusOr<Answer> ParseCompletion(std::string_view body);

// The usage that a chunk of a stream carries, if it does.
struct ChunkUsage {
  Usage usage;
  bool alone = false;  // `choices` is empty: the chunk is there for the usage only.
};
std::optional<ChunkUsage> UsageOfChunk(std::string_view data);

// Reads a stream of `chat.completion.chunk` events as its bytes arrive. Not thread-safe.
class AnswerAssembler {
 public:
  explicit AnswerAssembler(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Bytes as they came off the wire, cut anywhere.
  void Feed(std::string_view bytes);

  // What has been read. kBroken unless `[DONE]` or a finish reason was seen; kTooLarge past
  // `max_bytes`.
  Answer Finish();

 private:
  void OnEvent(std::string_view data);

  size_t max_bytes_;
  size_t seen_ = 0;
  bool done_ = false;
  bool too_large_ = false;
  std::string error_;
  SseParser parser_;
  Answer answer_;
  struct ToolCall {  // Fragments of one tool call, merged by index.
    std::string name;
    std::string arguments;
  };
  std::vector<ToolCall> tools_;
};

}  // namespace crossover::router
