// Precedence, loosest first: if-else, or, and, not, comparisons, + -, ~, * / // %, **, unary minus,
// then attributes, items and calls, then filters and tests.
#include "llm/chat/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"

namespace crossover::llm::jinja {
namespace {

constexpr int kMaxExpressionDepth = 100;
constexpr int kMaxChain = 200;

std::unique_ptr<Expression> Make(ExpressionKind kind, int line, std::string name = "") {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = line;
  expression->name = std::move(name);
  return expression;
}

ExpressionPtr Constant(int line, Value value) {
  auto expression = Make(ExpressionKind::kConstant, line);
  expression->value = std::move(value);
  return expression;
}

}  // namespace

absl::Status ExpressionParser::Level::Check() const {
  if (parser_.depth_ <= kMaxExpressionDepth) return absl::OkStatus();
  return SyntaxError(parser_.current().line, "expressions or blocks are nested too deeply");
}

Token ExpressionParser::Take() {
  Token token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::Is(TokenKind kind, std::string_view text) const {
  return current().kind == kind && current().text == text;
}

bool ExpressionParser::TakeIfOperator(std::string_view text) {
  if (!IsOperator(text)) return false;
  Take();
  return true;
}

bool ExpressionParser::TakeIfWord(std::string_view text) {
  if (!IsWord(text)) return false;
  Take();
  return true;
}

absl::Status ExpressionParser::Unexpected(std::string_view wanted) const {
  const std::string there = current().kind == TokenKind::kEnd
                                ? std::string("the template ends")
                                : absl::StrCat("there is '", current().text.substr(0, 40), "'");
  return SyntaxError(current().line, absl::StrCat("expected ", ToAbsl(wanted), ", but ", there));
}

absl::Status ExpressionParser::Expect(TokenKind kind, std::string_view text) {
  if (!Is(kind, text)) return Unexpected(absl::StrCat("'", ToAbsl(text), "'"));
  Take();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ExpressionParser::ExpectName() {
  if (current().kind != TokenKind::kName) return Unexpected("a name");
  return Take().text;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTuple(bool conditions) {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExpressionPtr first, ParseExpression(conditions));
  if (!IsOperator(",")) return first;
  auto tuple = Make(ExpressionKind::kList, line);
  tuple->parts.push_back(std::move(first));
  while (TakeIfOperator(",")) {
    const bool ends = current().kind == TokenKind::kEndBlock ||
                      current().kind == TokenKind::kEndPrint || IsOperator(")");
    if (ends) break;
    ASSIGN_OR_RETURN(ExpressionPtr part, ParseExpression(conditions));
    tuple->parts.push_back(std::move(part));
  }
  return ExpressionPtr(std::move(tuple));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseExpression(bool conditions) {
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  ASSIGN_OR_RETURN(ExpressionPtr value, ParseOr());
  for (int chain = 0; conditions && IsWord("if"); ++chain) {
    if (chain >= kMaxChain) return SyntaxError(current().line, "an expression is too long");
    auto condition = Make(ExpressionKind::kCondition, Take().line);
    ASSIGN_OR_RETURN(ExpressionPtr test, ParseOr());
    ExpressionPtr otherwise;
    if (TakeIfWord("else")) {
      ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    condition->parts.push_back(std::move(value));
    condition->parts.push_back(std::move(test));
    condition->parts.push_back(std::move(otherwise));
    value = std::move(condition);
  }
  return value;
}

ExpressionParser::Result ExpressionParser::ParseBinary(
    Rule operand, const std::vector<std::string_view>& operators, bool words) {
  ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  for (int chain = 0;; ++chain) {
    const auto found = std::find_if(operators.begin(), operators.end(), [&](std::string_view op) {
      return words ? IsWord(op) : IsOperator(op);
    });
    if (found == operators.end()) return left;
    // The tree leans to the left, and evaluation follows it down.
    if (chain >= kMaxChain) return SyntaxError(current().line, "an expression is too long");
    auto both = Make(ExpressionKind::kBinary, Take().line, std::string(*found));
    ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    both->parts.push_back(std::move(left));
    both->parts.push_back(std::move(right));
    left = std::move(both);
  }
}

ExpressionParser::Result ExpressionParser::ParseOr() {
  return ParseBinary(&ExpressionParser::ParseAnd, {"or"}, true);
}
ExpressionParser::Result ExpressionParser::ParseAnd() {
  return ParseBinary(&ExpressionParser::ParseNot, {"and"}, true);
}

ExpressionParser::Result ExpressionParser::ParseNot() {
  if (!IsWord("not")) return ParseCompare();
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  auto negation = Make(ExpressionKind::kUnary, Take().line, "not");
  ASSIGN_OR_RETURN(ExpressionPtr operand, ParseNot());
  negation->parts.push_back(std::move(operand));
  return ExpressionPtr(std::move(negation));
}

ExpressionParser::Result ExpressionParser::ParseCompare() {
  constexpr std::string_view kOperators[] = {"==", "!=", "<", "<=", ">", ">="};
  const int line = current().line;
  ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  std::unique_ptr<Expression> compare;
  while (true) {
    std::string op;
    const bool is_operator = current().kind == TokenKind::kOperator &&
                             std::find(std::begin(kOperators), std::end(kOperators),
                                       current().text) != std::end(kOperators);
    if (is_operator || IsWord("in")) {
      op = Take().text;
    } else if (IsWord("not") && next().kind == TokenKind::kName && next().text == "in") {
      Take();
      Take();
      op = "not in";
    } else {
      break;
    }
    if (compare == nullptr) {
      compare = Make(ExpressionKind::kCompare, line);
      compare->parts.push_back(std::move(first));
    }
    compare->operators.push_back(std::move(op));
    ASSIGN_OR_RETURN(ExpressionPtr operand, ParseSum());
    compare->parts.push_back(std::move(operand));
  }
  if (compare == nullptr) return first;
  return ExpressionPtr(std::move(compare));
}

ExpressionParser::Result ExpressionParser::ParseSum() {
  return ParseBinary(&ExpressionParser::ParseConcat, {"+", "-"}, false);
}
ExpressionParser::Result ExpressionParser::ParseConcat() {
  return ParseBinary(&ExpressionParser::ParseProduct, {"~"}, false);
}
ExpressionParser::Result ExpressionParser::ParseProduct() {
  return ParseBinary(&ExpressionParser::ParsePower, {"*", "/", "//", "%"}, false);
}
ExpressionParser::Result ExpressionParser::ParsePower() {
  return ParseBinary(&ExpressionParser::ParseUnary, {"**"}, false);
}

ExpressionParser::Result ExpressionParser::ParseUnary() {
  ASSIGN_OR_RETURN(ExpressionPtr value, ParseUnaryWithoutFilter());
  return ParseFilters(std::move(value));
}

ExpressionParser::Result ExpressionParser::ParseUnaryWithoutFilter() {
  const Level level(*this);
  RETURN_IF_ERROR(level.Check());
  if (IsOperator("-") || IsOperator("+")) {
    const Token sign = Take();
    auto unary = Make(ExpressionKind::kUnary, sign.line, sign.text);
    ASSIGN_OR_RETURN(ExpressionPtr operand, ParseUnaryWithoutFilter());
    unary->parts.push_back(std::move(operand));
    return ParsePostfix(std::move(unary));
  }
  ASSIGN_OR_RETURN(ExpressionPtr value, ParsePrimary());
  return ParsePostfix(std::move(value));
}

ExpressionParser::Result ExpressionParser::ParsePrimary() {
  const Token token = current();
  switch (token.kind) {
    case TokenKind::kName:
      Take();
      if (token.text == "true" || token.text == "True") return Constant(token.line, true);
      if (token.text == "false" || token.text == "False") return Constant(token.line, false);
      if (token.text == "none" || token.text == "None") return Constant(token.line, None{});
      return ExpressionPtr(Make(ExpressionKind::kName, token.line, token.text));
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += Take().text;
      return Constant(token.line, Text(std::move(text)));
    }
    case TokenKind::kInteger: {
      Take();
      int64_t number = 0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, number).ec != std::errc())
        return SyntaxError(token.line, absl::StrCat("the number ", token.text, " is too large"));
      return Constant(token.line, number);
    }
    case TokenKind::kFloat: {
      Take();
      double number = 0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, number).ec != std::errc())
        return SyntaxError(token.line, absl::StrCat("the number ", token.text, " is too large"));
      return Constant(token.line, number);
    }
    case TokenKind::kOperator:
      return ParseBracketed();
    default:
      return Unexpected("an expression");
  }
}

ExpressionParser::Result ExpressionParser::ParseBracketed() {
  const int line = current().line;
  if (TakeIfOperator("(")) {
    if (TakeIfOperator(")")) return ExpressionPtr(Make(ExpressionKind::kList, line));
    ASSIGN_OR_RETURN(ExpressionPtr inner, ParseTuple());
    RETURN_IF_ERROR(Expect(TokenKind::kOperator, ")"));
    return inner;
  }
  if (IsOperator("{")) return ParseDict();
  if (!TakeIfOperator("[")) return Unexpected("an expression");
  auto list = Make(ExpressionKind::kList, line);
  while (!TakeIfOperator("]")) {
    ASSIGN_OR_RETURN(ExpressionPtr part, ParseExpression());
    list->parts.push_back(std::move(part));
    if (!IsOperator("]")) RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
  }
  return ExpressionPtr(std::move(list));
}

ExpressionParser::Result ExpressionParser::ParseDict() {
  auto dict = Make(ExpressionKind::kDict, Take().line);
  while (!TakeIfOperator("}")) {
    ASSIGN_OR_RETURN(ExpressionPtr key, ParseExpression());
    RETURN_IF_ERROR(Expect(TokenKind::kOperator, ":"));
    ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    dict->parts.push_back(std::move(key));
    dict->parts.push_back(std::move(value));
    if (!IsOperator("}")) RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
  }
  return ExpressionPtr(std::move(dict));
}

ExpressionParser::Result ExpressionParser::ParsePostfix(ExpressionPtr base) {
  for (int chain = 0;; ++chain) {
    if (chain >= kMaxChain) return SyntaxError(current().line, "an expression is too long");
    if (IsOperator("(")) {
      auto call = Make(ExpressionKind::kCall, current().line);
      call->parts.push_back(std::move(base));
      RETURN_IF_ERROR(ParseArguments(*call));
      base = std::move(call);
    } else if (IsOperator("[")) {
      ASSIGN_OR_RETURN(base, ParseSubscript(std::move(base)));
    } else if (TakeIfOperator(".")) {
      const int line = current().line;
      if (current().kind == TokenKind::kInteger) {
        auto item = Make(ExpressionKind::kItem, line);
        item->parts.push_back(std::move(base));
        ASSIGN_OR_RETURN(ExpressionPtr index, ParsePrimary());
        item->parts.push_back(std::move(index));
        base = std::move(item);
        continue;
      }
      ASSIGN_OR_RETURN(std::string name, ExpectName());
      auto attribute = Make(ExpressionKind::kAttribute, line, std::move(name));
      attribute->parts.push_back(std::move(base));
      base = std::move(attribute);
    } else {
      return base;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseSubscript(ExpressionPtr base) {
  const int line = Take().line;
  std::vector<ExpressionPtr> bounds(1);
  if (!IsOperator(":")) {
    ASSIGN_OR_RETURN(bounds.back(), ParseExpression());
  }
  while (bounds.size() < 3 && TakeIfOperator(":")) {
    bounds.emplace_back();
    if (IsOperator(":") || IsOperator("]")) continue;
    ASSIGN_OR_RETURN(bounds.back(), ParseExpression());
  }
  RETURN_IF_ERROR(Expect(TokenKind::kOperator, "]"));
  const bool item = bounds.size() == 1;
  auto subscript = Make(item ? ExpressionKind::kItem : ExpressionKind::kSlice, line);
  subscript->parts.push_back(std::move(base));
  if (!item) bounds.resize(3);
  for (ExpressionPtr& bound : bounds) subscript->parts.push_back(std::move(bound));
  return ExpressionPtr(std::move(subscript));
}

absl::Status ExpressionParser::ParseArguments(Expression& call) {
  RETURN_IF_ERROR(Expect(TokenKind::kOperator, "("));
  while (!TakeIfOperator(")")) {
    if (IsOperator("*") || IsOperator("**"))
      return SyntaxError(current().line, "arguments with * or ** are not supported");
    if (current().kind == TokenKind::kName && next().kind == TokenKind::kOperator &&
        next().text == "=") {
      std::string name = Take().text;
      Take();
      ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      call.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!call.named.empty())
        return SyntaxError(current().line, "an argument without a name follows one with a name");
      ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      call.parts.push_back(std::move(value));
    }
    if (!IsOperator(")")) RETURN_IF_ERROR(Expect(TokenKind::kOperator, ","));
  }
  return absl::OkStatus();
}

ExpressionParser::Result ExpressionParser::ParseFilters(ExpressionPtr base) {
  for (int chain = 0;; ++chain) {
    if (chain >= kMaxChain) return SyntaxError(current().line, "an expression is too long");
    if (IsOperator("|")) {
      const int line = Take().line;
      ASSIGN_OR_RETURN(std::string name, ExpectName());
      auto filter = Make(ExpressionKind::kFilter, line, std::move(name));
      filter->parts.push_back(std::move(base));
      if (IsOperator("(")) RETURN_IF_ERROR(ParseArguments(*filter));
      base = std::move(filter);
    } else if (IsWord("is")) {
      ASSIGN_OR_RETURN(base, ParseTest(std::move(base)));
    } else if (IsOperator("(")) {
      auto call = Make(ExpressionKind::kCall, current().line);
      call->parts.push_back(std::move(base));
      RETURN_IF_ERROR(ParseArguments(*call));
      base = std::move(call);
    } else {
      return base;
    }
  }
}

ExpressionParser::Result ExpressionParser::ParseTest(ExpressionPtr base) {
  const int line = Take().line;
  const bool negated = TakeIfWord("not");
  ASSIGN_OR_RETURN(std::string name, ExpectName());
  auto test = Make(ExpressionKind::kTest, line, std::move(name));
  test->parts.push_back(std::move(base));
  const TokenKind kind = current().kind;
  const bool literal = kind == TokenKind::kString || kind == TokenKind::kInteger ||
                       kind == TokenKind::kFloat || IsOperator("[") || IsOperator("{");
  const bool word = kind == TokenKind::kName && !IsWord("else") && !IsWord("or") &&
                    !IsWord("and") && !IsWord("is") && !IsWord("if") && !IsWord("in") &&
                    !IsWord("not");
  if (IsOperator("(")) {
    RETURN_IF_ERROR(ParseArguments(*test));
  } else if (literal || word) {
    ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    test->parts.push_back(std::move(argument));
  }
  if (!negated) return ExpressionPtr(std::move(test));
  auto negation = Make(ExpressionKind::kUnary, line, "not");
  negation->parts.push_back(std::move(test));
  return ExpressionPtr(std::move(negation));
}

}  // namespace crossover::llm::jinja
