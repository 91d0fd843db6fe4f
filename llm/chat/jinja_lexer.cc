#include "llm/chat/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::llm::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\v\f";

constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

std::string NormalizedNewlines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) {
      const size_t tag = FindTag();
      RETURN_IF_ERROR(TakeDataBefore(tag));
      if (tag == std::string::npos) break;
      const char kind = source_[tag + 1];
      at_ = tag + 2;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
      if (kind == '#') {
        RETURN_IF_ERROR(SkipComment());
      } else if (kind == '%') {
        RETURN_IF_ERROR(LexBlock());
      } else {
        Push(TokenKind::kBeginPrint, "{{");
        RETURN_IF_ERROR(LexTag("}}", TokenKind::kEndPrint));
      }
    }
    Push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view Rest() const { return std::string_view(source_).substr(at_); }

  void Push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  // Moves to `to`, counting lines.
  void Advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    if (to > at_) line_starting_ = source_[to - 1] == '\n';
    at_ = to;
  }

  size_t FindTag() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      const char next = source_[i + 1];
      if (source_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return std::string::npos;
  }

  // The text up to a tag, without the white space that the tag takes away.
  absl::Status TakeDataBefore(size_t tag) {
    const size_t end = std::min(tag, source_.size());
    std::string_view data = std::string_view(source_).substr(at_, end - at_);
    if (tag != std::string::npos) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      if (sign == '-') {
        data = data.substr(0, data.find_last_not_of(kSpace) + 1);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const size_t line = data.rfind('\n') + 1;  // 0 when there is none.
        const bool at_start = line > 0 || line_starting_;
        if (at_start && data.find_first_not_of(kSpace, line) == std::string_view::npos) {
          data = data.substr(0, line);
        }
      }
    }
    if (!data.empty()) Push(TokenKind::kData, std::string(data));
    Advance(end);
    return absl::OkStatus();
  }

  // Behind a tag's closing brackets: what white space they take along.
  void TakeSpaceAfter(char sign, bool block) {
    size_t to = at_;
    if (sign == '-') {
      to = std::min(source_.find_first_not_of(kSpace, at_), source_.size());
    } else if (block && sign != '+' && to < source_.size() && source_[to] == '\n') {
      ++to;
    }
    Advance(to);
  }

  absl::Status SkipComment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) return SyntaxError(line_, "a comment {# is not closed");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    Advance(end + 2);
    TakeSpaceAfter(sign, true);
    return absl::OkStatus();
  }

  absl::Status LexBlock() {
    const size_t word = source_.find_first_not_of(kSpace, at_);
    if (word != std::string::npos && source_.compare(word, 3, "raw") == 0) {
      const size_t after = source_.find_first_not_of(kSpace, word + 3);
      if (after != std::string::npos && IsClose(after)) return LexRaw(after);
    }
    Push(TokenKind::kBeginBlock, "{%");
    return LexTag("%}", TokenKind::kEndBlock);
  }

  bool IsClose(size_t at) const {
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    return source_.compare(at, 2, "%}") == 0;
  }

  absl::Status LexRaw(size_t close) {
    const char sign = source_[close];
    Advance(source_.find("%}", close) + 2);
    TakeSpaceAfter(sign, true);
    for (size_t begin = source_.find("{%", at_); begin != std::string::npos;
         begin = source_.find("{%", begin + 2)) {
      size_t word = begin + 2;
      const bool strips = word < source_.size() && source_[word] == '-';
      if (word < source_.size() && (source_[word] == '-' || source_[word] == '+')) ++word;
      word = std::min(source_.find_first_not_of(kSpace, word), source_.size());
      if (source_.compare(word, 6, "endraw") != 0) continue;
      const size_t end = source_.find_first_not_of(kSpace, word + 6);
      if (end == std::string::npos || !IsClose(end)) continue;
      std::string_view data = std::string_view(source_).substr(at_, begin - at_);
      if (strips) data = data.substr(0, data.find_last_not_of(kSpace) + 1);
      if (!data.empty()) Push(TokenKind::kData, std::string(data));
      const char end_sign = source_[end];
      Advance(source_.find("%}", end) + 2);
      TakeSpaceAfter(end_sign, true);
      return absl::OkStatus();
    }
    return SyntaxError(line_, "{% raw %} is not closed");
  }

  // The tokens of a tag up to and with its closing brackets.
  absl::Status LexTag(std::string_view close, TokenKind close_kind) {
    const int opened = line_;
    std::string brackets;
    while (true) {
      Advance(std::min(source_.find_first_not_of(kSpace, at_), source_.size()));
      if (at_ == source_.size()) {
        return SyntaxError(opened, absl::StrCat("a tag is not closed by ", ToAbsl(close)));
      }
      const bool signed_close = (Rest()[0] == '-' || (Rest()[0] == '+' && close == "%}")) &&
                                Rest().substr(1).starts_with(close);
      if (brackets.empty() && (signed_close || Rest().starts_with(close))) {
        const char sign = signed_close ? Rest()[0] : ' ';
        Push(close_kind, std::string(close));
        Advance(at_ + close.size() + (signed_close ? 1 : 0));
        TakeSpaceAfter(sign, close == "%}");
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(LexToken(brackets));
    }
  }

  absl::Status LexToken(std::string& brackets) {
    const char c = Rest()[0];
    if (absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_') return LexName();
    if (absl::ascii_isdigit(static_cast<unsigned char>(c))) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    for (const std::string_view op : kOperators) {
      if (!Rest().starts_with(op)) continue;
      if (op == "(" || op == "[" || op == "{") brackets.push_back(op[0]);
      if (op == ")" || op == "]" || op == "}") {
        const char open = op == ")" ? '(' : op == "]" ? '[' : '{';
        if (brackets.empty() || brackets.back() != open)
          return SyntaxError(line_, absl::StrCat("'", ToAbsl(op), "' closes nothing"));
        brackets.pop_back();
      }
      Push(TokenKind::kOperator, std::string(op));
      Advance(at_ + op.size());
      return absl::OkStatus();
    }
    return SyntaxError(line_, absl::StrCat("unexpected character '", std::string(1, c), "'"));
  }

  absl::Status LexName() {
    size_t end = at_;
    const auto in_name = [&](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
    };
    while (end < source_.size() && in_name(source_[end])) ++end;
    Push(TokenKind::kName, source_.substr(at_, end - at_));
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status LexNumber() {
    std::string digits;
    size_t end = at_;
    const auto take_digits = [&] {
      while (end < source_.size() &&
             (absl::ascii_isdigit(static_cast<unsigned char>(source_[end])) ||
              (source_[end] == '_' && end + 1 < source_.size()))) {
        if (source_[end] != '_') digits += source_[end];
        ++end;
      }
    };
    const auto digit_at = [&](size_t i) {
      return i < source_.size() && absl::ascii_isdigit(static_cast<unsigned char>(source_[i]));
    };
    take_digits();
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      digits += source_[end++];
      take_digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign =
          end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + 1 + (sign ? 1 : 0))) {
        is_float = true;
        digits += source_.substr(end, sign ? 2 : 1);
        end += sign ? 2 : 1;
        take_digits();
      }
    }
    Push(is_float ? TokenKind::kFloat : TokenKind::kInteger, digits);
    Advance(end);
    return absl::OkStatus();
  }

  absl::Status LexString(char quote) {
    std::string out;
    for (size_t i = at_ + 1; i < source_.size(); ++i) {
      if (source_[i] == quote) {
        Push(TokenKind::kString, std::move(out));
        Advance(i + 1);
        return absl::OkStatus();
      }
      if (source_[i] != '\\' || i + 1 == source_.size()) {
        out += source_[i];
        continue;
      }
      RETURN_IF_ERROR(Unescape(++i, out));
    }
    return SyntaxError(line_, "a string is not closed");
  }

  // The escape whose letter stands at `at`, which is moved to its last character.
  absl::Status Unescape(size_t& at, std::string& out) const {
    constexpr std::string_view kLetters = "ntrbfav0'\"\\\n";
    constexpr std::string_view kMeanings("\n\t\r\b\f\a\v\0'\"\\", 11);
    const char letter = source_[at];
    const size_t simple = kLetters.find(letter);
    if (letter == '\n') return absl::OkStatus();  // A line that goes on.
    if (simple != std::string_view::npos) {
      out += kMeanings[simple];
      return absl::OkStatus();
    }
    const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (digits == 0) {  // Python keeps what it does not know.
      out += '\\';
      out += letter;
      return absl::OkStatus();
    }
    uint32_t code = 0;
    for (size_t i = 1; i <= digits; ++i) {
      const char c = at + i < source_.size() ? source_[at + i] : ' ';
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)))
        return SyntaxError(line_, "an escape in a string has too few hexadecimal digits");
      code = code << 4 | static_cast<uint32_t>(
                             absl::ascii_isdigit(static_cast<unsigned char>(c))
                                 ? c - '0'
                                 : absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10);
    }
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      return SyntaxError(line_, "an escape in a string is no Unicode character");
    AppendUtf8(code, out);
    at += digits;
    return absl::OkStatus();
  }

  const std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

absl::Status SyntaxError(int line, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "TEMPLATE_INVALID",
               absl::StrCat("chat template, line ", line, ": ", ToAbsl(message)));
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(NormalizedNewlines(source)).Run();
}

}  // namespace crossover::llm::jinja
