// Ollama's Modelfile: which file holds the weights, how a conversation is written, where an answer
// ends.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/chat_template.h"

namespace crossover::llm {

// The template in Go's language, as Ollama wants it, found out by rendering small conversations:
// what stands around the words of each role. A begin token is left out, because Ollama adds it
// itself. nullopt for a template that writes a turn differently depending on other turns (where the
// system text goes to a user's turn, for example).
std::optional<std::string> GoTemplate(const ChatTemplate& chat);

struct ModelfileOptions {
  std::string from;     // "./model.gguf", "." for a folder of safetensors, or a model's name
  std::string adapter;  // "./adapter.gguf", or "".
  int64_t context_length = 0;
  // Comments at the top: what this was made of.
  std::vector<std::pair<std::string, std::string>> lineage;
};

// Without a template of Go's (see GoTemplate), a comment says so, and Ollama takes what it knows of
// the model. Another comment names the roles whose texts the model's template trims and Ollama's
// does not. Equal input gives equal text.
std::string ModelfileText(const ChatTemplate& chat, const ModelfileOptions& options);

}  // namespace crossover::llm
