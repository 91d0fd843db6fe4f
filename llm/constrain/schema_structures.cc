// Objects and arrays of SchemaCompiler.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "llm/constrain/characters.h"
#include "llm/constrain/schema_compiler.h"

namespace crossover::llm::constrain {

namespace {

bool HasKey(const SchemaPlace& place, const char* key) { return place.json->contains(key); }

size_t PrefixLength(const SchemaPlace& place) {
  return HasKey(place, "prefixItems") ? (*place)["prefixItems"].size() : 0;
}

// What all the schemas ask of item `index`.
Conjunction ItemAt(const Conjunction& arrays, size_t index) {
  Conjunction item;
  for (const SchemaPlace& place : arrays) {
    if (index < PrefixLength(place)) {
      item.push_back(place.At("prefixItems").At(index));
    } else if (HasKey(place, "items")) {
      item.push_back(place.At("items"));
    }
  }
  return item;
}

struct Members {
  struct Member {
    std::string name;
    Conjunction value;
    bool required = false;
  };
  std::vector<Member> named;
  Conjunction others;
  bool others_allowed = false;
};

// What all the schemas ask of the member `name`.
Conjunction MemberNamed(const Conjunction& objects, const std::string& name) {
  Conjunction value;
  for (const SchemaPlace& place : objects) {
    if (HasKey(place, "properties") && (*place)["properties"].contains(name)) {
      value.push_back(place.At("properties").At(name));
    } else if (HasKey(place, "additionalProperties")) {
      value.push_back(place.At("additionalProperties"));
    }
  }
  return value;
}

Members MembersOf(const SchemaFacts& facts) {
  std::vector<std::string> names;
  std::set<std::string> known;
  const auto add = [&](const std::string& name) {
    if (known.insert(name).second) names.push_back(name);
  };
  Members members;
  bool closed = false, said = false, listed = false;
  for (const SchemaPlace& place : facts.objects) {
    if (HasKey(place, "properties")) {
      listed = true;
      for (const auto& [name, schema] : (*place)["properties"].items()) add(name);
    }
    if (!HasKey(place, "additionalProperties")) continue;
    said = true;
    closed |= (*place)["additionalProperties"] == SchemaJson(false);
    members.others.push_back(place.At("additionalProperties"));
  }
  // Without a word about others there are none beside properties.
  members.others_allowed = !closed && (said || !listed);
  for (const std::string& name : facts.required) add(name);
  const std::set<std::string> required(facts.required.begin(), facts.required.end());
  for (const std::string& name : names)
    members.named.push_back({name, MemberNamed(facts.objects, name), required.contains(name)});
  return members;
}

}  // namespace

void SchemaCompiler::EmitArray(const SchemaFacts& facts, Node from, Node to) {
  size_t prefix = 0;
  bool more = true;  // Items after the prefix.
  for (const SchemaPlace& place : facts.arrays) prefix = std::max(prefix, PrefixLength(place));
  if (prefix > 0) {
    more = std::any_of(facts.arrays.begin(), facts.arrays.end(),
                       [](const SchemaPlace& place) { return HasKey(place, "items"); });
  }
  std::optional<int64_t> max = facts.max_items;
  const auto known = static_cast<int64_t>(prefix);
  if (!more) max = std::min(max.value_or(INT64_MAX), std::max(known, facts.min_items));

  const Node first = AfterSpace(builder_.Text(from, "["));
  if (facts.min_items == 0) builder_.Text(first, "]", to);
  Node next = builder_.NewNode();  // Where an item begins.
  builder_.Jump(first, next);
  for (int64_t i = 0; !builder_.full() && (!max || i < *max); ++i) {
    // The first of those that are all alike is followed by itself.
    const bool endless = !max && i >= std::max(known, facts.min_items);
    const Node after = builder_.NewNode();
    builder_.Call(next, RuleOf(ItemAt(facts.arrays, static_cast<size_t>(i))), after);
    if (i + 1 >= facts.min_items) builder_.Text(AfterSpace(after), "]", to);
    const Node comma = AfterSpace(builder_.Text(after, ","));
    if (endless) return builder_.Jump(comma, next);
    next = comma;
  }
}

void SchemaCompiler::EmitObject(const SchemaFacts& facts, Node from, Node to) {
  const Members members = MembersOf(facts);
  const size_t count = members.named.size();
  // From which member on none is required.
  size_t free = count;
  while (free > 0 && !members.named[free - 1].required) --free;

  const auto value = [&](Node colon, const Conjunction& schemas) {
    const Node after = builder_.NewNode();
    builder_.Call(AfterSpace(colon), RuleOf(schemas), after);
    return after;
  };
  const Node first = AfterSpace(builder_.Text(from, "{"));
  if (free == 0) builder_.Text(first, "}", to);
  const auto close = [&](size_t i, Node after, Node next) {
    if (i >= free) builder_.Text(AfterSpace(after), "}", to);
    builder_.Jump(AfterSpace(builder_.Text(after, ",")), next);
  };
  Node next = builder_.NewNode();  // Where member i or a later one begins.
  builder_.Jump(first, next);
  for (size_t i = 0; i < count && !builder_.full(); ++i) {
    const Members::Member& member = members.named[i];
    const Node colon =
        builder_.Text(next, absl::StrCat("\"", Spelled(member.name, Spelling::kJson), "\":"));
    const Node later = builder_.NewNode();
    close(i + 1, value(colon, member.value), later);
    if (!member.required) builder_.Jump(next, later);
    next = later;
  }
  if (!members.others_allowed) return;
  Node name = builder_.NewNode();
  if (count == 0) {
    builder_.Call(next, rules_.String(), name);
  } else {
    std::vector<std::string> names;
    for (const Members::Member& member : members.named) names.push_back(member.name);
    const Node end = builder_.NewNode();
    AddText(builder_, builder_.Text(next, "\""), AllBut(names), Spelling::kJson, end);
    builder_.Text(end, "\"", name);
  }
  close(count, value(builder_.Text(name, ":"), members.others), next);
}

}  // namespace crossover::llm::constrain
