// Cuts a Jinja template into its text and the tokens of its tags (pallets/jinja, lexer.py), with
// trim_blocks and lstrip_blocks, as transformers sets them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::llm::jinja {

enum class TokenKind {
  kData,        // Text between tags.
  kBeginBlock,  // {%
  kEndBlock,    // %}
  kBeginPrint,  // {{
  kEndPrint,    // }}
  kName,
  kInteger,
  kFloat,
  kString,    // `text` is what the quotes hold, escapes undone.
  kOperator,  // One of Jinja's, longest first.
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
};

// What is wrong with a template's text: InvalidArgument TEMPLATE_INVALID, with the line.
absl::Status SyntaxError(int line, std::string_view message);

// Ends with kEnd. Comments and {% raw %} are gone; line breaks are "\n", and one at the very end of
// the template is left out.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace crossover::llm::jinja
