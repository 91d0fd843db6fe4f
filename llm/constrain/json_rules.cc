#include "llm/constrain/json_rules.h"

#include "llm/constrain/characters.h"
#include "llm/constrain/numbers.h"
#include "llm/constrain/regex.h"

namespace crossover::llm::constrain {

namespace {

constexpr int kMostIndentation = 32;

struct AsciiRange {
  char low;
  char high;
};
// What stands for itself in a JSON string.
constexpr AsciiRange kPlain[] = {{' ', '!'}, {'#', '['}, {']', '\x7f'}};

void AddBytes(AutomatonBuilder& builder, int32_t from, std::initializer_list<AsciiRange> ranges,
              int32_t to) {
  for (const AsciiRange& range : ranges)
    builder.Byte(from, static_cast<uint8_t>(range.low), static_cast<uint8_t>(range.high), to);
}

constexpr std::initializer_list<AsciiRange> kHex = {{'0', '9'}, {'a', 'f'}, {'A', 'F'}};

int32_t HexDigits(AutomatonBuilder& builder, int32_t from, int count) {
  for (int i = 0; i < count; ++i) {
    const int32_t next = builder.NewNode();
    AddBytes(builder, from, kHex, next);
    from = next;
  }
  return from;
}

}  // namespace

JsonRules::Rule JsonRules::WhiteSpace() {
  if (white_space_) return *white_space_;
  white_space_ = builder_.NewRule();
  const Node entry = builder_.entry(*white_space_), exit = builder_.exit(*white_space_);
  builder_.Jump(entry, exit);
  builder_.Byte(entry, ' ', ' ', exit);
  Node line = builder_.Text(entry, "\n");
  for (int i = 0; i < kMostIndentation; ++i) {
    builder_.Jump(line, exit);
    line = builder_.Text(line, " ");
  }
  builder_.Jump(line, exit);
  return *white_space_;
}

void JsonRules::AddOther(Node from, Node to) {
  AddCharacters(builder_, from, MakeCharSet({{0x80, 0x10ffff}}), Spelling::kUtf8, to);
  const Node escape = builder_.Text(from, "\\");
  for (const char c : std::string_view("\"\\/bfnrt"))
    builder_.Byte(escape, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
  const Node unicode = builder_.Text(escape, "u");
  // Four hexadecimal digits that are no half of a pair …
  const Node high = builder_.NewNode(), d = builder_.NewNode(), low = builder_.NewNode();
  AddBytes(builder_, unicode, {{'0', '9'}, {'a', 'c'}, {'A', 'C'}, {'e', 'f'}, {'E', 'F'}}, high);
  AddBytes(builder_, unicode, {{'d', 'd'}, {'D', 'D'}}, d);
  builder_.Jump(HexDigits(builder_, high, 1), low);
  AddBytes(builder_, d, {{'0', '7'}}, low);
  builder_.Jump(HexDigits(builder_, low, 2), to);
  // … or a pair.
  const Node first = builder_.NewNode();
  AddBytes(builder_, d, {{'8', '9'}, {'a', 'b'}, {'A', 'B'}}, first);
  const Node second = builder_.Text(HexDigits(builder_, first, 2), "\\u");
  const Node d2 = builder_.NewNode(), last = builder_.NewNode();
  AddBytes(builder_, second, {{'d', 'd'}, {'D', 'D'}}, d2);
  AddBytes(builder_, d2, {{'c', 'f'}, {'C', 'F'}}, last);
  builder_.Jump(HexDigits(builder_, last, 2), to);
}

JsonRules::Rule JsonRules::String() {
  if (string_) return *string_;
  string_ = builder_.NewRule();
  const Node inside = builder_.Text(builder_.entry(*string_), "\"");
  for (const AsciiRange& range : kPlain) AddBytes(builder_, inside, {range}, inside);
  AddOther(inside, inside);
  builder_.Byte(inside, '"', '"', builder_.exit(*string_));
  return *string_;
}

void JsonRules::AddString(Node from, int64_t min, std::optional<int64_t> max, Node to) {
  if (min == 0 && !max) return builder_.Call(from, String(), to);
  if (!other_) {
    other_ = builder_.NewRule();
    AddOther(builder_.entry(*other_), builder_.exit(*other_));
  }
  Node at = builder_.Text(from, "\"");
  for (int64_t i = 0; !builder_.full(); ++i) {
    if (i >= min) builder_.Byte(at, '"', '"', to);
    if (max && i >= *max) return;
    const bool endless = !max && i >= min;
    const Node next = endless ? at : builder_.NewNode();
    for (const AsciiRange& range : kPlain) AddBytes(builder_, at, {range}, next);
    builder_.Call(at, *other_, next);
    if (endless) return;
    at = next;
  }
}

JsonRules::Rule JsonRules::Matching(const std::string& pattern) {
  const auto [it, fresh] = matching_.try_emplace(pattern, 0);
  if (fresh) {
    it->second = builder_.NewRule();
    AddText(builder_, builder_.entry(it->second), KnownRegex(pattern), Spelling::kUtf8,
            builder_.exit(it->second));
  }
  return it->second;
}

JsonRules::Rule JsonRules::Number() { return Matching(NumberPattern(std::nullopt, std::nullopt)); }

template <typename AddOne>
JsonRules::Rule JsonRules::List(char open, char close, std::optional<Rule>& rule,
                                const AddOne& add_one) {
  if (rule) return *rule;
  rule = builder_.NewRule();
  const Rule made = *rule;
  const Node exit = builder_.exit(made);
  const auto byte = [](char c) { return static_cast<uint8_t>(c); };
  const Node begin = builder_.Text(builder_.entry(made), std::string(1, open));
  const Node first = AfterSpace(begin);
  builder_.Byte(first, byte(close), byte(close), exit);
  const Node after = builder_.NewNode();
  add_one(first, after);
  add_one(AfterSpace(builder_.Text(after, ",")), after);
  builder_.Byte(AfterSpace(after), byte(close), byte(close), exit);
  return made;
}

JsonRules::Rule JsonRules::Object() {
  return List('{', '}', object_, [&](Node from, Node to) {
    const Node colon = builder_.Text(builder_.After(from, String()), ":");
    builder_.Call(AfterSpace(colon), Value(), to);
  });
}

JsonRules::Rule JsonRules::Array() {
  return List('[', ']', array_, [&](Node from, Node to) { builder_.Call(from, Value(), to); });
}

JsonRules::Rule JsonRules::Value() {
  if (value_) return *value_;
  value_ = builder_.NewRule();
  const Rule made = *value_;
  const Node entry = builder_.entry(made), exit = builder_.exit(made);
  for (const Rule rule : {Object(), Array(), String(), Number()}) builder_.Call(entry, rule, exit);
  builder_.AnyOf(entry, {"true", "false", "null"}, exit);
  return made;
}

}  // namespace crossover::llm::constrain
