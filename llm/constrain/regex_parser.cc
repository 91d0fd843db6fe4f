#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/constrain/regex_syntax.h"

namespace crossover::llm::constrain {

namespace {

using Kind = RegexTree::Kind;

const CharSet& Digits() {
  static const CharSet set = MakeCharSet({{'0', '9'}});
  return set;
}

const CharSet& WordCharacters() {
  static const CharSet set = MakeCharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return set;
}

// WhiteSpace and LineTerminator of ECMA-262.
const CharSet& WhiteSpace() {
  static const CharSet set = MakeCharSet({{'\t', '\r'},
                                          {' ', ' '},
                                          {0xa0, 0xa0},
                                          {0x1680, 0x1680},
                                          {0x2000, 0x200a},
                                          {0x2028, 0x2029},
                                          {0x202f, 0x202f},
                                          {0x205f, 0x205f},
                                          {0x3000, 0x3000},
                                          {0xfeff, 0xfeff}});
  return set;
}

const CharSet& NoLineBreak() {
  static const CharSet set =
      Complement(MakeCharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
  return set;
}

bool IsAsciiLetterOrDigit(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

class RegexParser {
 public:
  explicit RegexParser(std::string_view pattern) : characters_(CodePoints(pattern)) {}

  absl::StatusOr<RegexTree> Parse() {
    ASSIGN_OR_RETURN(RegexTree tree, ParseChoice(0));
    if (!done()) return Wrong("this ) closes nothing");
    return tree;
  }

 private:
  bool done() const { return at_ == characters_.size(); }
  uint32_t peek(size_t ahead = 0) const {
    return at_ + ahead < characters_.size() ? characters_[at_ + ahead] : 0;
  }
  bool Take(char c) {
    if (done() || peek() != static_cast<uint32_t>(c)) return false;
    ++at_;
    return true;
  }

  absl::Status Wrong(const std::string& what) const {
    return Error(absl::StatusCode::kInvalidArgument, "CONSTRAINT_INVALID",
                 absl::StrCat("regular expression, character ", at_ + 1, ": ", what));
  }

  absl::StatusOr<RegexTree> ParseChoice(int depth) {
    if (depth > kMaxRegexDepth) return Wrong("groups are nested too deep");
    RegexTree choice{.kind = Kind::kChoice};
    do {
      ASSIGN_OR_RETURN(RegexTree sequence, ParseSequence(depth));
      choice.parts.push_back(std::move(sequence));
    } while (Take('|'));
    if (choice.parts.size() == 1) return std::move(choice.parts[0]);
    return choice;
  }

  absl::StatusOr<RegexTree> ParseSequence(int depth) {
    RegexTree sequence{.kind = Kind::kSequence};
    while (!done() && peek() != '|' && peek() != ')') {
      ASSIGN_OR_RETURN(RegexTree part, ParsePart(depth));
      RETURN_IF_ERROR(ParseRepeat(part));
      sequence.parts.push_back(std::move(part));
    }
    return sequence;
  }

  absl::StatusOr<RegexTree> ParsePart(int depth) {
    const uint32_t c = peek();
    if (c == '(') return ParseGroup(depth);
    if (c == '*' || c == '+' || c == '?') return Wrong("there is nothing to repeat");
    if (c == '{' || c == '}' || c == ']')
      return Wrong("this bracket needs a \\ before it to mean itself");
    if (c == '[') return ParseClass();
    if (c == '\\') {
      ASSIGN_OR_RETURN(CharSet set, ParseEscape(/*in_class=*/false));
      return RegexTree{.kind = Kind::kSet, .set = std::move(set)};
    }
    ++at_;
    if (c == '^') return RegexTree{.kind = Kind::kBegin};
    if (c == '$') return RegexTree{.kind = Kind::kEnd};
    return RegexTree{.kind = Kind::kSet, .set = c == '.' ? NoLineBreak() : MakeCharSet({{c, c}})};
  }

  absl::StatusOr<RegexTree> ParseGroup(int depth) {
    ++at_;
    if (Take('?')) {
      if (peek() == '=' || peek() == '!' || (peek() == '<' && (peek(1) == '=' || peek(1) == '!')))
        return Wrong("lookaround is not served");
      if (Take('<')) {
        while (!done() && peek() != '>') ++at_;
        if (!Take('>')) return Wrong("the group's name has no end");
      } else if (!Take(':')) {
        return Wrong("after (? only : and <name> are served");
      }
    }
    ASSIGN_OR_RETURN(RegexTree inside, ParseChoice(depth + 1));
    if (!Take(')')) return Wrong("a group is not closed");
    return inside;
  }

  absl::StatusOr<int> ParseCount() {
    if (done() || !Contains(Digits(), peek())) return Wrong("a number is missing in { }");
    int64_t value = 0;
    for (; !done() && Contains(Digits(), peek()); ++at_)
      value = std::min<int64_t>(value * 10 + (peek() - '0'), kMaxRegexRepeat + 1);
    if (value > kMaxRegexRepeat) return Wrong(absl::StrCat("a count is over ", kMaxRegexRepeat));
    return static_cast<int>(value);
  }

  absl::Status ParseRepeat(RegexTree& part) {
    RegexTree repeat{.kind = Kind::kRepeat};
    if (Take('*')) {
      repeat.min = 0;
    } else if (Take('+')) {
      repeat.min = 1;
    } else if (Take('?')) {
      repeat.max = 1;
    } else if (Take('{')) {
      ASSIGN_OR_RETURN(repeat.min, ParseCount());
      repeat.max = repeat.min;
      if (Take(',')) {
        repeat.max.reset();
        if (peek() != '}') {
          ASSIGN_OR_RETURN(repeat.max, ParseCount());
        }
      }
      if (!Take('}')) return Wrong("{ is not closed by }");
      if (repeat.max && *repeat.max < repeat.min) return Wrong("{n,m} has n over m");
    } else {
      return absl::OkStatus();
    }
    if (part.kind == Kind::kBegin || part.kind == Kind::kEnd)
      return Wrong("^ and $ cannot be repeated");
    Take('?');  // Lazy: finds its matches in another order; they are the same.
    if (!done() && (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{'))
      return Wrong("there is nothing to repeat");
    repeat.parts.push_back(std::move(part));
    part = std::move(repeat);
    return absl::OkStatus();
  }

  absl::StatusOr<RegexTree> ParseClass() {
    ++at_;
    const bool negated = Take('^');
    std::vector<CharRange> ranges;
    while (!Take(']')) {
      if (done()) return Wrong("a class [ is not closed");
      ASSIGN_OR_RETURN(const CharSet low, ParseClassCharacter());
      const bool single = low.size() == 1 && low[0].low == low[0].high;
      if (single && peek() == '-' && peek(1) != ']' && at_ + 1 < characters_.size()) {
        ++at_;
        ASSIGN_OR_RETURN(const CharSet high, ParseClassCharacter());
        if (high.size() != 1 || high[0].low != high[0].high)
          return Wrong("a range of a class needs a character on both sides of -");
        if (low[0].low > high[0].low) return Wrong("a range of a class runs backwards");
        ranges.push_back({low[0].low, high[0].high});
      } else {
        ranges.insert(ranges.end(), low.begin(), low.end());
      }
    }
    const CharSet set = MakeCharSet(std::move(ranges));
    return RegexTree{.kind = Kind::kSet, .set = negated ? Complement(set) : set};
  }

  absl::StatusOr<CharSet> ParseClassCharacter() {
    if (peek() == '\\') return ParseEscape(/*in_class=*/true);
    if (done()) return Wrong("a class [ is not closed");
    const uint32_t c = characters_[at_++];
    return CharSet{{c, c}};
  }

  absl::StatusOr<CharSet> ParseEscape(bool in_class) {
    ++at_;
    if (done()) return Wrong("the expression ends in \\");
    const uint32_t c = characters_[at_++];
    const auto one = [](uint32_t code) { return MakeCharSet({{code, code}}); };
    switch (c) {
      case 'd':
        return Digits();
      case 'D':
        return Complement(Digits());
      case 'w':
        return WordCharacters();
      case 'W':
        return Complement(WordCharacters());
      case 's':
        return WhiteSpace();
      case 'S':
        return Complement(WhiteSpace());
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'v':
        return one('\v');
      case 'f':
        return one('\f');
      case 'r':
        return one('\r');
      case 'x':
        return ParseHex(2);
      case 'u':
        return ParseUnicode();
      case '0':
        if (Contains(Digits(), peek())) return Wrong("octal escapes are not served");
        return one(0);
      case 'b':
        if (in_class) return one('\b');
        return Wrong("\\b is not served");
      case 'B':
        return Wrong("\\B is not served");
      case 'p':
      case 'P':
        return Wrong("\\p{…} is not served");
      case 'k':
        return Wrong("backreferences are not served");
      default:
        if (c >= '1' && c <= '9') return Wrong("backreferences are not served");
        if (IsAsciiLetterOrDigit(c)) return Wrong("this escape is not known");
        return one(c);
    }
  }

  absl::StatusOr<uint32_t> ParseHexDigits(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      const uint32_t c = peek();
      if (c >= '0' && c <= '9') {
        value = value * 16 + (c - '0');
      } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        value = value * 16 + ((c | 0x20) - 'a' + 10);
      } else {
        return Wrong("a hexadecimal digit is missing");
      }
    }
    return value;
  }

  absl::StatusOr<CharSet> ParseHex(int digits) {
    ASSIGN_OR_RETURN(const uint32_t value, ParseHexDigits(digits));
    if (value >= 0xd800 && value <= 0xdfff)
      return Wrong("half of a surrogate pair is no character");
    return CharSet{{value, value}};
  }

  absl::StatusOr<CharSet> ParseUnicode() {
    if (Take('{')) {
      int digits = 0;
      while (peek(digits) != '}' && digits <= 6) ++digits;
      if (digits < 1 || digits > 6) return Wrong("\\u{…} takes one to six digits");
      ASSIGN_OR_RETURN(CharSet set, ParseHex(digits));
      ++at_;
      if (set[0].high > 0x10ffff) return Wrong("there is no such character");
      return set;
    }
    // 𝒙-like pairs are one character.
    const size_t begin = at_;
    ASSIGN_OR_RETURN(const uint32_t high, ParseHexDigits(4));
    if (high >= 0xd800 && high <= 0xdbff && peek() == '\\' && peek(1) == 'u') {
      at_ += 2;
      ASSIGN_OR_RETURN(const uint32_t low, ParseHexDigits(4));
      if (low >= 0xdc00 && low <= 0xdfff) {
        const uint32_t code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return CharSet{{code, code}};
      }
    }
    at_ = begin;
    return ParseHex(4);
  }

  const std::vector<uint32_t> characters_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<RegexTree> ParseRegex(std::string_view pattern) {
  return RegexParser(pattern).Parse();
}

}  // namespace crossover::llm::constrain
