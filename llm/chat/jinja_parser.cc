// Statements.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_expression_parser.h"
#include "llm/chat/jinja_syntax.h"

namespace crossover::llm::jinja {
namespace {

constexpr std::array<std::string_view, 13> kLeftOut = {
    "extends", "block", "include", "import", "from",       "call",     "filter",
    "with",    "do",    "trans",   "debug",  "autoescape", "pluralize"};

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens) : in_(std::move(tokens)) {}

  absl::StatusOr<Body> Run() {
    ASSIGN_OR_RETURN(Body body, ParseBody({}));
    if (in_.current().kind != TokenKind::kEnd) return in_.Unexpected("the end of the template");
    return body;
  }

 private:
  // Up to, and without, a block that begins with one of `ends`; its "{%" has been taken.
  absl::StatusOr<Body> ParseBody(const std::vector<std::string_view>& ends) {
    const ExpressionParser::Level level(in_);
    RETURN_IF_ERROR(level.Check());
    Body body;
    while (true) {
      const Token token = in_.current();
      if (token.kind == TokenKind::kData) {
        in_.Take();
        body.push_back({.kind = StatementKind::kData, .line = token.line, .text = token.text});
      } else if (token.kind == TokenKind::kBeginPrint) {
        in_.Take();
        Statement print{.kind = StatementKind::kPrint, .line = token.line};
        ASSIGN_OR_RETURN(print.expression, in_.ParseTuple());
        RETURN_IF_ERROR(in_.Expect(TokenKind::kEndPrint, "}}"));
        body.push_back(std::move(print));
      } else if (token.kind == TokenKind::kBeginBlock) {
        in_.Take();
        const bool ended = std::any_of(ends.begin(), ends.end(),
                                       [&](std::string_view end) { return in_.IsWord(end); });
        if (ended) return body;
        ASSIGN_OR_RETURN(Statement statement, ParseStatement());
        body.push_back(std::move(statement));
      } else if (token.kind == TokenKind::kEnd && ends.empty()) {
        return body;
      } else {
        return in_.Unexpected(ends.empty() ? std::string("text or a tag")
                                           : absl::StrCat("{% ", ToAbsl(ends.back()), " %}"));
      }
    }
  }

  absl::Status EndBlock() { return in_.Expect(TokenKind::kEndBlock, "%}"); }

  // "endfor %}"
  absl::Status End(std::string_view word) {
    RETURN_IF_ERROR(in_.Expect(TokenKind::kName, word));
    return EndBlock();
  }

  absl::StatusOr<Statement> ParseStatement() {
    const int line = in_.current().line;
    ASSIGN_OR_RETURN(const std::string word, in_.ExpectName());
    if (word == "if") return ParseIf(line);
    if (word == "for") return ParseFor(line);
    if (word == "set") return ParseSet(line);
    if (word == "macro") return ParseMacro(line);
    if (word == "generation") {
      RETURN_IF_ERROR(EndBlock());
      Statement statement{.kind = StatementKind::kGeneration, .line = line};
      ASSIGN_OR_RETURN(statement.body, ParseBody({"endgeneration"}));
      RETURN_IF_ERROR(End("endgeneration"));
      return statement;
    }
    if (word == "break" || word == "continue") {
      if (loops_ == 0) return SyntaxError(line, absl::StrCat("'", word, "' stands outside a loop"));
      RETURN_IF_ERROR(EndBlock());
      return Statement{.kind = word == "break" ? StatementKind::kBreak : StatementKind::kContinue,
                       .line = line};
    }
    if (std::find(kLeftOut.begin(), kLeftOut.end(), word) != kLeftOut.end()) {
      return Error(absl::StatusCode::kUnimplemented, "TEMPLATE_UNSUPPORTED",
                   absl::StrCat("chat template, line ", line, ": '{% ", word,
                                " %}' is not supported; if, for, set, macro, generation, break, "
                                "continue and raw are"));
    }
    return SyntaxError(line, absl::StrCat("there is no statement '", word, "'"));
  }

  absl::StatusOr<Statement> ParseIf(int line) {
    Statement statement{.kind = StatementKind::kIf, .line = line};
    while (true) {
      ASSIGN_OR_RETURN(ExpressionPtr condition, in_.ParseTuple());
      RETURN_IF_ERROR(EndBlock());
      ASSIGN_OR_RETURN(Body body, ParseBody({"elif", "else", "endif"}));
      statement.branches.emplace_back(std::move(condition), std::move(body));
      if (in_.TakeIfWord("elif")) continue;
      if (in_.TakeIfWord("else")) {
        RETURN_IF_ERROR(EndBlock());
        ASSIGN_OR_RETURN(statement.otherwise, ParseBody({"endif"}));
      }
      RETURN_IF_ERROR(End("endif"));
      return statement;
    }
  }

  absl::StatusOr<std::vector<Target>> ParseTargets(bool members) {
    std::vector<Target> targets;
    const bool brackets = in_.TakeIfOperator("(");
    do {
      Target target;
      ASSIGN_OR_RETURN(target.name, in_.ExpectName());
      if (members && in_.TakeIfOperator(".")) {
        ASSIGN_OR_RETURN(target.member, in_.ExpectName());
      }
      targets.push_back(std::move(target));
    } while (in_.TakeIfOperator(","));
    if (brackets) RETURN_IF_ERROR(in_.Expect(TokenKind::kOperator, ")"));
    return targets;
  }

  absl::StatusOr<Statement> ParseFor(int line) {
    Statement statement{.kind = StatementKind::kFor, .line = line};
    ASSIGN_OR_RETURN(statement.targets, ParseTargets(false));
    RETURN_IF_ERROR(in_.Expect(TokenKind::kName, "in"));
    ASSIGN_OR_RETURN(statement.expression, in_.ParseTuple(/*conditions=*/false));
    if (in_.TakeIfWord("if")) {
      ASSIGN_OR_RETURN(statement.condition, in_.ParseExpression());
    }
    if (in_.IsWord("recursive"))
      return SyntaxError(in_.current().line, "recursive loops are not supported");
    RETURN_IF_ERROR(EndBlock());
    ++loops_;
    ASSIGN_OR_RETURN(statement.body, ParseBody({"else", "endfor"}));
    --loops_;
    if (in_.TakeIfWord("else")) {
      RETURN_IF_ERROR(EndBlock());
      ASSIGN_OR_RETURN(statement.otherwise, ParseBody({"endfor"}));
    }
    RETURN_IF_ERROR(End("endfor"));
    return statement;
  }

  absl::StatusOr<Statement> ParseSet(int line) {
    Statement statement{.kind = StatementKind::kSet, .line = line};
    ASSIGN_OR_RETURN(statement.targets, ParseTargets(true));
    if (in_.TakeIfOperator("=")) {
      ASSIGN_OR_RETURN(statement.expression, in_.ParseTuple());
      RETURN_IF_ERROR(EndBlock());
      return statement;
    }
    if (statement.targets.size() > 1) return in_.Unexpected("'='");
    RETURN_IF_ERROR(EndBlock());
    ASSIGN_OR_RETURN(statement.body, ParseBody({"endset"}));
    RETURN_IF_ERROR(End("endset"));
    return statement;
  }

  absl::StatusOr<Statement> ParseMacro(int line) {
    Statement statement{.kind = StatementKind::kMacro, .line = line};
    ASSIGN_OR_RETURN(statement.text, in_.ExpectName());
    RETURN_IF_ERROR(in_.Expect(TokenKind::kOperator, "("));
    while (!in_.TakeIfOperator(")")) {
      Parameter parameter;
      ASSIGN_OR_RETURN(parameter.name, in_.ExpectName());
      if (in_.TakeIfOperator("=")) {
        ASSIGN_OR_RETURN(parameter.fallback, in_.ParseExpression());
      }
      statement.parameters.push_back(std::move(parameter));
      if (!in_.IsOperator(")")) RETURN_IF_ERROR(in_.Expect(TokenKind::kOperator, ","));
    }
    RETURN_IF_ERROR(EndBlock());
    const int loops = std::exchange(loops_, 0);
    ASSIGN_OR_RETURN(statement.body, ParseBody({"endmacro"}));
    loops_ = loops;
    RETURN_IF_ERROR(End("endmacro"));
    return statement;
  }

  ExpressionParser in_;
  int loops_ = 0;
};

}  // namespace

absl::StatusOr<Body> Parse(std::string_view source) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return StatementParser(std::move(tokens)).Run();
}

}  // namespace crossover::llm::jinja
