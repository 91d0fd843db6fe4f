#include "llm/chat/jinja.h"

#include <algorithm>

#include "common/status/status_macros.h"
#include "llm/chat/jinja_evaluator.h"
#include "llm/chat/jinja_lexer.h"

namespace crossover::llm::jinja {

absl::StatusOr<std::shared_ptr<const Program>> Program::Compile(std::string_view source) {
  std::shared_ptr<Program> program(new Program());
  ASSIGN_OR_RETURN(program->body_, Parse(source));
  ASSIGN_OR_RETURN(const std::vector<Token> tokens, Tokenize(source));
  for (const Token& token : tokens) {
    if (token.kind == TokenKind::kName || token.kind == TokenKind::kString)
      program->names_.push_back(token.text);
  }
  std::sort(program->names_.begin(), program->names_.end());
  return std::shared_ptr<const Program>(std::move(program));
}

absl::StatusOr<Rendered> Program::Render(Dict globals) const {
  Evaluator evaluator(std::move(globals));
  RETURN_IF_ERROR(evaluator.Run(body_));
  return Rendered{evaluator.TakeOutput(), evaluator.generations()};
}

bool Program::Mentions(std::string_view name) const {
  return std::binary_search(names_.begin(), names_.end(), name);
}

}  // namespace crossover::llm::jinja
