// Expressions of a template. Private to the parser.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_lexer.h"
#include "llm/chat/jinja_syntax.h"

namespace crossover::llm::jinja {

// Reads tokens from the front. Nesting is bounded, so that no template exhausts the stack.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take();
  bool Is(TokenKind kind, std::string_view text) const;
  bool IsOperator(std::string_view text) const { return Is(TokenKind::kOperator, text); }
  bool IsWord(std::string_view text) const { return Is(TokenKind::kName, text); }
  bool TakeIfOperator(std::string_view text);
  bool TakeIfWord(std::string_view text);
  absl::Status Expect(TokenKind kind, std::string_view text);
  absl::StatusOr<std::string> ExpectName();
  // "… but there is 'x'"
  absl::Status Unexpected(std::string_view wanted) const;

  // With the commas of a tuple at the top, if there are any. `conditions` false stops before "if".
  absl::StatusOr<ExpressionPtr> ParseTuple(bool conditions = true);
  absl::StatusOr<ExpressionPtr> ParseExpression(bool conditions = true);

  // Counts a level of nesting for as long as it lives; `ok` false when there are too many.
  class Level {
   public:
    explicit Level(ExpressionParser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    absl::Status Check() const;

   private:
    ExpressionParser& parser_;
  };

 private:
  using Result = absl::StatusOr<ExpressionPtr>;
  using Rule = Result (ExpressionParser::*)();

  Result ParseBinary(Rule operand, const std::vector<std::string_view>& operators, bool words);
  Result ParseOr();
  Result ParseAnd();
  Result ParseNot();
  Result ParseCompare();
  Result ParseSum();
  Result ParseConcat();
  Result ParseProduct();
  Result ParsePower();
  Result ParseUnary();
  Result ParseUnaryWithoutFilter();
  Result ParsePrimary();
  Result ParseBracketed();
  Result ParseDict();
  Result ParsePostfix(ExpressionPtr base);
  Result ParseSubscript(ExpressionPtr base);
  Result ParseFilters(ExpressionPtr base);
  Result ParseTest(ExpressionPtr base);
  absl::Status ParseArguments(Expression& call);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace crossover::llm::jinja
