#include "llm/constrain/schema_compiler.h"

#include <cmath>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/constrain/characters.h"
#include "llm/constrain/formats.h"
#include "llm/constrain/numbers.h"
#include "llm/constrain/regex.h"

namespace crossover::llm::constrain {

namespace {

constexpr int32_t kMaxStringNodes = 20'000;

bool Unrestricted(const SchemaFacts& facts) {
  return facts.types == kAnyType && facts.hinted == 0 && !facts.values;
}

// The texts that a `pattern` or `format` allows.
absl::StatusOr<CharAutomaton> TextsOf(const SchemaPlace& place) {
  const std::string text = place.json->get<std::string>();
  if (place.pointer.ends_with("/format")) {
    const std::string_view pattern = PatternOfFormat(text);
    if (pattern.empty())
      return SchemaError(place, absl::StrCat("the format ", text, " is not served; ",
                                             ToAbsl(kServedFormats), " are"));
    return KnownRegex(pattern);
  }
  absl::StatusOr<CharAutomaton> automaton = CompileRegex(text, RegexUse::kSearch);
  if (!automaton.ok()) return SchemaError(place, ToStd(automaton.status().message()));
  return automaton;
}

// All that the string keywords allow.
absl::StatusOr<CharAutomaton> TextsOf(const SchemaFacts& facts) {
  std::optional<CharAutomaton> texts;
  const auto restrict_by = [&](const CharAutomaton& more) {
    texts = texts ? Intersection(*texts, more, kMaxStringNodes) : more;
    return texts.has_value() && texts->nodes.size() <= static_cast<size_t>(kMaxStringNodes);
  };
  const absl::Status too_large =
      SchemaError(facts.patterns[0], "is too large together with the other keywords of the string");
  for (const SchemaPlace& place : facts.patterns) {
    ASSIGN_OR_RETURN(const CharAutomaton pattern, TextsOf(place));
    if (!restrict_by(pattern)) return too_large;
  }
  if (facts.min_length == 0 && !facts.max_length) return *std::move(texts);
  if (facts.max_length.value_or(facts.min_length) > kMaxStringNodes) return too_large;
  if (!restrict_by(OfLength(facts.min_length, facts.max_length))) return too_large;
  return *std::move(texts);
}

bool Within(const SchemaFacts& facts, double number) {
  const auto& [low, high] = std::pair(facts.low, facts.high);
  return (!low || number > low->value || (number == low->value && !low->exclusive)) &&
         (!high || number < high->value || (number == high->value && !high->exclusive));
}

}  // namespace

absl::StatusOr<SchemaCompiler::Rule> SchemaCompiler::Compile() {
  const Rule start = RuleOf({{&context_.root, "#"}});
  RETURN_IF_ERROR(EmitWaiting());
  RETURN_IF_ERROR(CheckExclusive());
  return start;
}

SchemaCompiler::Rule SchemaCompiler::RuleOf(const Conjunction& conjunction) {
  if (conjunction.empty()) return rules_.Value();
  std::vector<const SchemaJson*> key;
  for (const SchemaPlace& place : conjunction) key.push_back(place.json);
  const auto [it, fresh] = made_.try_emplace(std::move(key), 0);
  if (fresh) {
    it->second = builder_.NewRule();
    waiting_.emplace_back(conjunction, it->second);
  }
  return it->second;
}

absl::Status SchemaCompiler::EmitWaiting() {
  while (!waiting_.empty() && !builder_.full()) {
    const auto [conjunction, rule] = std::move(waiting_.front());
    waiting_.pop_front();
    ASSIGN_OR_RETURN(const std::vector<SchemaFacts> alternatives,
                     Alternatives(context_, conjunction));
    for (const SchemaFacts& facts : alternatives) {
      if (builder_.full()) break;
      RETURN_IF_ERROR(Emit(facts, builder_.entry(rule), builder_.exit(rule)));
    }
  }
  return absl::OkStatus();
}

// oneOf is anyOf if no value is valid for two: if nothing is allowed by both.
absl::Status SchemaCompiler::CheckExclusive() {
  std::vector<std::pair<ExclusivePair, Rule>> pairs;
  std::set<std::pair<const SchemaJson*, const SchemaJson*>> seen;
  // Emitting both together may find further pairs.
  for (size_t i = 0; i < context_.exclusive.size() && !builder_.full(); ++i) {
    const ExclusivePair pair = context_.exclusive[i];
    if (!seen.emplace(pair.first.json, pair.second.json).second) continue;
    pairs.emplace_back(pair, RuleOf({pair.first, pair.second}));
    const absl::Status status = EmitWaiting();
    if (!status.ok()) {
      return SchemaError(pair.one_of,
                         absl::StrCat("oneOf is served where its schemas exclude each other, which "
                                      "cannot be told of these (",
                                      status.message(), "); use anyOf"));
    }
  }
  const std::vector<char> possible = builder_.Possible();
  for (const auto& [pair, rule] : pairs) {
    if (!possible[rule]) continue;
    return SchemaError(pair.one_of, absl::StrCat("oneOf is served where its schemas exclude each "
                                                 "other, and ",
                                                 pair.first.pointer, " and ", pair.second.pointer,
                                                 " do not; use anyOf, or give both a property with "
                                                 "a const of its own"));
  }
  return absl::OkStatus();
}

absl::Status SchemaCompiler::Emit(const SchemaFacts& facts, Node from, Node to) {
  if (facts.values) return EmitValues(facts, from, to);
  if (Unrestricted(facts)) {
    builder_.Call(from, rules_.Value(), to);
    return absl::OkStatus();
  }
  if (facts.types & kNullType) builder_.Text(from, "null", to);
  if (facts.types & kBooleanType) builder_.AnyOf(from, {"true", "false"}, to);
  if (facts.types & kIntegerType) RETURN_IF_ERROR(EmitNumber(facts, from, to));
  if (facts.types & kStringType) RETURN_IF_ERROR(EmitString(facts, from, to));
  if (facts.types & kArrayType) EmitArray(facts, from, to);
  if (facts.types & kObjectType) EmitObject(facts, from, to);
  return absl::OkStatus();
}

absl::StatusOr<bool> SchemaCompiler::Fits(const SchemaFacts& facts, const CharAutomaton* texts,
                                          const SchemaJson& value) {
  if ((TypesOf(value) & facts.types) == 0) return false;
  if (value.is_number()) return Within(facts, value.get<double>());
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    const auto length = static_cast<int64_t>(CodePoints(text).size());
    if (length < facts.min_length || length > facts.max_length.value_or(length)) return false;
    return texts == nullptr || texts->Matches(text);
  }
  const auto beside = [&](const char* keywords) {
    return SchemaError(facts.place, absl::StrCat("enum or const beside ", keywords,
                                                 " is not served; leave one of them out"));
  };
  if (value.is_array()) {
    if (!facts.arrays.empty()) return beside("items and prefixItems");
    const auto count = static_cast<int64_t>(value.size());
    return count >= facts.min_items && count <= facts.max_items.value_or(count);
  }
  if (value.is_object() && !(facts.objects.empty() && facts.required.empty()))
    return beside("properties, additionalProperties and required");
  return true;
}

absl::Status SchemaCompiler::EmitValues(const SchemaFacts& facts, Node from, Node to) {
  std::optional<CharAutomaton> allowed;
  if (!facts.patterns.empty()) {
    ASSIGN_OR_RETURN(allowed, TextsOf(facts));
  }
  std::vector<std::string> texts;
  for (const SchemaJson& value : *facts.values) {
    ASSIGN_OR_RETURN(const bool fits, Fits(facts, allowed ? &*allowed : nullptr, value));
    if (!fits) continue;
    if (value.is_structured()) {
      EmitExactly(value, from, to);
    } else if (value.is_string()) {
      texts.push_back(absl::StrCat("\"", Spelled(value.get<std::string>(), Spelling::kJson), "\""));
    } else {
      texts.push_back(value.dump());
    }
  }
  builder_.AnyOf(from, std::move(texts), to);
  return absl::OkStatus();
}

void SchemaCompiler::EmitExactly(const SchemaJson& value, Node from, Node to) {
  if (!value.is_structured()) {
    return builder_.Text(
        from,
        value.is_string()
            ? absl::StrCat("\"", Spelled(value.get<std::string>(), Spelling::kJson), "\"")
            : value.dump(),
        to);
  }
  Node at = AfterSpace(builder_.Text(from, value.is_array() ? "[" : "{"));
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) at = AfterSpace(builder_.Text(at, ","));
    if (value.is_object()) {
      at = builder_.Text(at, absl::StrCat("\"", Spelled(key, Spelling::kJson), "\":"));
      at = AfterSpace(at);
    }
    const Node after = builder_.NewNode();
    EmitExactly(item, at, after);
    at = after;
    first = false;
  }
  if (!first) at = AfterSpace(at);
  builder_.Text(at, value.is_array() ? "]" : "}", to);
}

absl::Status SchemaCompiler::EmitNumber(const SchemaFacts& facts, Node from, Node to) {
  const bool whole = (facts.types & kNumberType) == 0;
  if (!facts.low && !facts.high) {
    builder_.Call(from, whole ? rules_.Matching("-?(0|[1-9]\\d{0,17})") : rules_.Number(), to);
    return absl::OkStatus();
  }
  const double limit = static_cast<double>(whole ? kMaxInteger : kMaxNumberBound);
  for (const auto& bound : {facts.low, facts.high}) {
    if (!bound) continue;
    if (std::fabs(bound->value) > limit)
      return SchemaError(
          bound->place,
          absl::StrCat("bounds beyond ", whole ? "18 digits" : "a million", " are not served"));
    if (!whole && bound->value != std::floor(bound->value))
      return SchemaError(bound->place,
                         "a bound of numbers that are no integers must be whole to be served");
  }
  std::string pattern;
  if (whole) {
    int64_t low = -kMaxInteger, high = kMaxInteger;
    if (facts.low) {
      low = static_cast<int64_t>(std::ceil(facts.low->value));
      if (facts.low->exclusive && static_cast<double>(low) == facts.low->value) ++low;
    }
    if (facts.high) {
      high = static_cast<int64_t>(std::floor(facts.high->value));
      if (facts.high->exclusive && static_cast<double>(high) == facts.high->value) --high;
    }
    if (low <= high) pattern = IntegerPattern(low, high);
  } else {
    const auto bound = [](const std::optional<SchemaFacts::Bound>& from_schema) {
      std::optional<NumberBound> out;
      if (from_schema) out = {static_cast<int64_t>(from_schema->value), from_schema->exclusive};
      return out;
    };
    pattern = NumberPattern(bound(facts.low), bound(facts.high));
  }
  if (!pattern.empty()) builder_.Call(from, rules_.Matching(pattern), to);
  return absl::OkStatus();
}

absl::Status SchemaCompiler::EmitString(const SchemaFacts& facts, Node from, Node to) {
  if (facts.patterns.empty()) {
    rules_.AddString(from, facts.min_length, facts.max_length, to);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const CharAutomaton texts, TextsOf(facts));
  const Node end = builder_.NewNode();
  AddText(builder_, builder_.Text(from, "\""), texts, Spelling::kJson, end);
  builder_.Text(end, "\"", to);
  return absl::OkStatus();
}

}  // namespace crossover::llm::constrain
