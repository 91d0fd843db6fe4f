// A chat completion request: read once, kept as its original bytes, rewritten by splicing.
//
// What reaches a model are the client's own bytes with `model`, `messages` (only where the variant
// has a prompt), `stream_options` and absent sampling parameters changed; unknown fields pass.
// Fields named `crossover_…` inside `metadata` are for the router and are taken out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::router {

struct ChatRequest {
  std::string body;  // As received.
  std::string model;
  bool stream = false;
  bool include_usage = false;  // The client asked for usage in the stream.
  bool store = false;
  bool has_tool_results = false;  // A message of role `tool`.
  std::string user;               // `safety_identifier`, else `user`.
  std::string conversation;       // metadata.crossover_conversation
  std::optional<std::string>
      label;               // metadata.crossover_label: the right output, if the caller knows it.
  bool no_mirror = false;  // metadata.crossover_mirror is "off".
  std::string
      last_user_message;  // Text of the last message of role `user`; parts of type text are joined.
  std::map<std::string, std::string> metadata;  // Without the router's own keys.

  // Where the top-level members lie in `body`: name → the value's bytes, in order of appearance.
  struct Member {
    std::string name;
    size_t key_begin = 0;  // Offset of the key's opening quote.
    size_t begin = 0;
    size_t end = 0;
  };
  std::vector<Member> members;

  const Member* Find(std::string_view name) const;
  std::string_view Raw(std::string_view name) const;  // Empty if absent.
};

// INVALID_ARGUMENT with a violation that names the field. The messages of the errors are the OpenAI
// edge's.
absl::StatusOr<ChatRequest> ParseChatRequest(std::string body);

// What to change. `set` values are JSON text; a member that exists is replaced in place, an absent
// one appended.
struct Rewrite {
  std::map<std::string, std::string> set;
  std::map<std::string, std::string> fill;  // Only where absent (null counts as absent).
  std::vector<std::string> remove;
};
std::string Apply(const ChatRequest& request, const Rewrite& rewrite);

// JSON text of a string.
std::string JsonString(std::string_view text);

}  // namespace crossover::router
