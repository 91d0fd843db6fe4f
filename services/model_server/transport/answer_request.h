// Writes a generated answer to an HTTP client, whole or piece by piece, in whichever dialect.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/http/async.h"
#include "services/model_server/domain/inference.h"
#include "services/model_server/transport/mailbox.h"
#include "services/model_server/transport/openai_json.h"

namespace crossover::inference {

// How an answer of one contract looks.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  virtual const AnswerHead& head() const = 0;
  virtual nlohmann::ordered_json Whole(const std::vector<Choice>& choices,
                                       const TokenUsage& usage) const = 0;
  // The first chunk of answer `index`; null for none.
  virtual nlohmann::ordered_json Opening(int64_t index) const = 0;
  virtual nlohmann::ordered_json Chunk(const AnswerPiece& piece) const = 0;
  // The chunk without choices that ends a stream with include_usage.
  virtual nlohmann::ordered_json Usage(const TokenUsage& usage) const = 0;
};

struct AnswerOptions {
  bool stream = false;
  bool include_usage = false;
  int64_t choices = 1;
};

// Until the mailbox's last letter, or until the client has gone.
http::Task<void> AnswerRequest(http::AsyncExchange& exchange, const AnswerWriter& writer,
                               AnswerOptions options, Mailbox& mailbox);

// Of the chat completions contract.
class ChatWriter final : public AnswerWriter {
 public:
  // Borrows request and tokenizer.
  ChatWriter(AnswerHead head, const ChatRequest& request, const llm::Tokenizer& tokenizer)
      : head_(std::move(head)), request_(request), tokenizer_(tokenizer) {}

  const AnswerHead& head() const override { return head_; }
  nlohmann::ordered_json Whole(const std::vector<Choice>& choices,
                               const TokenUsage& usage) const override {
    return CompletionJson(head_, choices, usage, with_logprobs(), tokenizer_);
  }
  nlohmann::ordered_json Opening(int64_t index) const override {
    return RoleChunkJson(head_, index, request_.include_usage);
  }
  nlohmann::ordered_json Chunk(const AnswerPiece& piece) const override {
    return ChunkJson(head_, piece, request_.include_usage, with_logprobs(), tokenizer_);
  }
  nlohmann::ordered_json Usage(const TokenUsage& usage) const override {
    return UsageChunkJson(head_, usage);
  }

 private:
  bool with_logprobs() const { return request_.command.sampling.logprobs.has_value(); }

  const AnswerHead head_;
  const ChatRequest& request_;
  const llm::Tokenizer& tokenizer_;
};

}  // namespace crossover::inference
