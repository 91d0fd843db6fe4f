#include "llm/constrain/schema_facts.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"

namespace crossover::llm::constrain {

namespace {

constexpr int kMaxExpanded = 5'000;
constexpr size_t kMaxChain = 1000;

// Words of JSON Schema that restrict values and are not served.
const std::set<std::string>& Unserved() {
  static const std::set<std::string> words = {"not",
                                              "if",
                                              "then",
                                              "else",
                                              "contains",
                                              "minContains",
                                              "maxContains",
                                              "patternProperties",
                                              "propertyNames",
                                              "minProperties",
                                              "maxProperties",
                                              "dependentRequired",
                                              "dependentSchemas",
                                              "dependencies",
                                              "unevaluatedItems",
                                              "unevaluatedProperties",
                                              "additionalItems",
                                              "multipleOf",
                                              "$dynamicRef",
                                              "$recursiveRef"};
  return words;
}

unsigned TypeNamed(const SchemaJson& name) {
  static const std::map<std::string, unsigned> types = {
      {"null", kNullType},       {"boolean", kBooleanType},
      {"integer", kIntegerType}, {"number", kNumberType | kIntegerType},
      {"string", kStringType},   {"array", kArrayType},
      {"object", kObjectType}};
  if (!name.is_string()) return 0;
  const auto it = types.find(name.get<std::string>());
  return it == types.end() ? 0 : it->second;
}

struct Pending {
  SchemaPlace place;
  std::vector<const SchemaJson*> chain;  // Whence it came without a value between.
};

struct Branches {
  std::vector<Pending> list;
};

// Facts in the making.
struct Draft {
  SchemaFacts facts;
  std::set<const SchemaJson*> absorbed;
  std::deque<Pending> pending;
  std::deque<Branches> branches;  // anyOf and oneOf, of each of which one is chosen.
};

class FactCollector {
 public:
  explicit FactCollector(FactsContext& context) : context_(context), root_(context.root) {}

  absl::StatusOr<std::vector<SchemaFacts>> Collect(const Conjunction& conjunction) {
    Draft draft;
    draft.facts.place = conjunction.empty() ? SchemaPlace{&root_, "#"} : conjunction[0];
    for (const SchemaPlace& place : conjunction) draft.pending.push_back({place, {}});
    RETURN_IF_ERROR(Expand(std::move(draft)));
    return std::move(out_);
  }

 private:
  absl::Status Expand(Draft draft) {
    if (++context_.expanded > kMaxExpanded)
      return SchemaError(draft.facts.place, "anyOf and oneOf combine to too many alternatives");
    while (!draft.pending.empty()) {
      const Pending next = std::move(draft.pending.front());
      draft.pending.pop_front();
      RETURN_IF_ERROR(Absorb(next, draft));
    }
    RemoveEmptyTypes(draft.facts);
    if (draft.facts.types == 0) return absl::OkStatus();
    if (draft.branches.empty()) {
      SchemaFacts& facts = draft.facts;
      if (!facts.typed && !facts.values && facts.hinted != 0) facts.types &= facts.hinted;
      out_.push_back(std::move(facts));
      return absl::OkStatus();
    }
    const Branches choice = std::move(draft.branches.front());
    draft.branches.pop_front();
    for (const Pending& branch : choice.list) {
      Draft chosen = draft;
      chosen.pending.push_back(branch);
      RETURN_IF_ERROR(Expand(std::move(chosen)));
    }
    return absl::OkStatus();
  }

  static void RemoveEmptyTypes(SchemaFacts& facts) {
    if (facts.max_length && *facts.max_length < facts.min_length) facts.types &= ~kStringType;
    if (facts.max_items && *facts.max_items < facts.min_items) facts.types &= ~kArrayType;
    if (facts.low && facts.high && facts.low->value > facts.high->value)
      facts.types &= ~(kNumberType | kIntegerType);
  }

  absl::Status Absorb(const Pending& pending, Draft& draft) {
    const SchemaPlace& place = pending.place;
    if (place.json->is_boolean()) {
      if (!place.json->get<bool>()) draft.facts.types = 0;
      return absl::OkStatus();
    }
    if (!place.json->is_object())
      return SchemaError(place, "a schema must be an object, true or false");
    if (std::find(pending.chain.begin(), pending.chain.end(), place.json) != pending.chain.end() ||
        pending.chain.size() > kMaxChain)
      return SchemaError(place, "refers to itself without a value between");
    if (!draft.absorbed.insert(place.json).second) return absl::OkStatus();  // Said before.
    if (place.json->contains("$id") && place.json != &root_)
      return SchemaError(place, "$id below the root is not served");
    for (const auto& [key, value] : place.json->items()) {
      if (Unserved().contains(key))
        return SchemaError(place, absl::StrCat("the keyword ", key, " is not served"));
      RETURN_IF_ERROR(Keyword(pending, key, draft));
    }
    RETURN_IF_ERROR(CheckOrder(place));
    return Parts(place, draft.facts);
  }

  // A schema that contradicts itself is a mistake; schemas that contradict each other may be meant.
  static absl::Status CheckOrder(const SchemaPlace& place) {
    constexpr std::pair<const char*, const char*> kLimits[] = {
        {"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minimum", "maximum"}};
    for (const auto& [low, high] : kLimits) {
      if (place.json->contains(low) && place.json->contains(high) &&
          (*place)[low].get<double>() > (*place)[high].get<double>())
        return SchemaError(place, absl::StrCat(low, " is over ", high, ": nothing could be valid"));
    }
    return absl::OkStatus();
  }

  // properties, items and what goes with them are kept with their schema.
  static absl::Status Parts(const SchemaPlace& place, SchemaFacts& facts) {
    const auto has = [&](const char* key) { return place.json->contains(key); };
    if (has("properties") && !(*place)["properties"].is_object())
      return SchemaError(place.At("properties"), "must be an object");
    if (has("prefixItems") && !(*place)["prefixItems"].is_array())
      return SchemaError(place.At("prefixItems"), "must be a list");
    if (has("items") && (*place)["items"].is_array())
      return SchemaError(place.At("items"), "must be a schema; lists are written as prefixItems");
    if (has("properties") || has("additionalProperties")) {
      facts.objects.push_back(place);
      facts.hinted |= kObjectType;
    }
    if (has("items") || has("prefixItems")) {
      facts.arrays.push_back(place);
      facts.hinted |= kArrayType;
    }
    return absl::OkStatus();
  }

  absl::Status Keyword(const Pending& pending, const std::string& key, Draft& draft) {
    const SchemaPlace& place = pending.place;
    SchemaFacts& facts = draft.facts;
    const auto follow = [&](SchemaPlace next) {
      std::vector<const SchemaJson*> chain = pending.chain;
      chain.push_back(place.json);
      return Pending{std::move(next), std::move(chain)};
    };
    if (key == "$ref") {
      ASSIGN_OR_RETURN(SchemaPlace target, Resolve(root_, place));
      draft.pending.push_back(follow(std::move(target)));
    } else if (key == "allOf" || key == "anyOf" || key == "oneOf") {
      const SchemaPlace list = place.At(key);
      if (!list.json->is_array() || list.json->empty())
        return SchemaError(list, "must be a list of at least one schema");
      Branches branches;
      for (size_t i = 0; i < list.json->size(); ++i) branches.list.push_back(follow(list.At(i)));
      if (key == "oneOf") AddPairs(list);
      if (key == "allOf") {
        draft.pending.insert(draft.pending.end(), branches.list.begin(), branches.list.end());
      } else {
        draft.branches.push_back(std::move(branches));
      }
    } else if (key == "type") {
      return Type(place.At(key), facts);
    } else if (key == "enum" || key == "const") {
      return Values(place.At(key), key == "const", facts);
    } else if (key == "required") {
      return Required(place.At(key), facts);
    } else if (key == "pattern" || key == "format") {
      if (!place.At(key).json->is_string()) return SchemaError(place.At(key), "must be a text");
      facts.patterns.push_back(place.At(key));
      facts.hinted |= kStringType;
    } else {
      return Limit(place, key, facts);
    }
    return absl::OkStatus();
  }

  static absl::Status Type(const SchemaPlace& at, SchemaFacts& facts) {
    const SchemaJson list = at.json->is_array() ? *at.json : SchemaJson::array({*at.json});
    unsigned types = 0;
    for (const SchemaJson& name : list) {
      const unsigned type = TypeNamed(name);
      if (type == 0)
        return SchemaError(at, absl::StrCat(name.dump(),
                                            " is no type; null, boolean, integer, "
                                            "number, string, array and object are"));
      types |= type;
    }
    if (types == 0) return SchemaError(at, "must name at least one type");
    facts.types &= types;
    facts.typed = true;
    return absl::OkStatus();
  }

  static absl::Status Values(const SchemaPlace& at, bool single, SchemaFacts& facts) {
    if (!single && (!at.json->is_array() || at.json->empty()))
      return SchemaError(at,
                         "enum must be a list of at least one value; without any, no answer "
                         "would be valid");
    std::vector<SchemaJson> kept;
    // Members of objects have no order when values are compared.
    const auto equal = [](const SchemaJson& a, const SchemaJson& b) {
      return nlohmann::json(a) == nlohmann::json(b);
    };
    const auto allowed = [&](const SchemaJson& value) {
      return !facts.values || std::any_of(facts.values->begin(), facts.values->end(),
                                          [&](const auto& kept) { return equal(kept, value); });
    };
    const SchemaJson list = single ? SchemaJson::array({*at.json}) : *at.json;
    for (const SchemaJson& value : list) {
      if (allowed(value)) kept.push_back(value);
    }
    facts.values = std::move(kept);
    return absl::OkStatus();
  }

  static absl::Status Required(const SchemaPlace& at, SchemaFacts& facts) {
    if (!at.json->is_array()) return SchemaError(at, "must be a list of names");
    for (const SchemaJson& name : *at.json) {
      if (!name.is_string()) return SchemaError(at, "must hold names");
      const std::string text = name.get<std::string>();
      if (std::find(facts.required.begin(), facts.required.end(), text) == facts.required.end())
        facts.required.push_back(text);
    }
    facts.hinted |= kObjectType;
    return absl::OkStatus();
  }

  // A count of characters or items.
  static absl::StatusOr<int64_t> Count(const SchemaPlace& at) {
    const SchemaJson& value = *at.json;
    const double number = value.is_number() ? value.get<double>() : -1;
    if (number < 0 || number != std::floor(number))
      return SchemaError(at, "must be a whole number of at least 0");
    return static_cast<int64_t>(std::min(number, 1e15));
  }

  static absl::Status Limit(const SchemaPlace& place, const std::string& key, SchemaFacts& facts) {
    const auto smaller = [](std::optional<int64_t> a, int64_t b) {
      return a ? std::min(*a, b) : b;
    };
    if (key == "minLength" || key == "maxLength" || key == "minItems" || key == "maxItems") {
      ASSIGN_OR_RETURN(const int64_t count, Count(place.At(key)));
      if (key == "minLength") facts.min_length = std::max(facts.min_length, count);
      if (key == "maxLength") facts.max_length = smaller(facts.max_length, count);
      if (key == "minItems") facts.min_items = std::max(facts.min_items, count);
      if (key == "maxItems") facts.max_items = smaller(facts.max_items, count);
      facts.hinted |= key.ends_with("Length") ? kStringType : kArrayType;
      return absl::OkStatus();
    }
    if (key == "uniqueItems" && *place.At(key) == SchemaJson(true))
      return SchemaError(place, "the keyword uniqueItems is not served");
    const bool lower = key == "minimum" || key == "exclusiveMinimum";
    if (!lower && key != "maximum" && key != "exclusiveMaximum") return absl::OkStatus();
    const SchemaPlace at = place.At(key);
    if (!at.json->is_number()) return SchemaError(at, "must be a number");
    facts.hinted |= kNumberType | kIntegerType;
    const SchemaFacts::Bound bound{at.json->get<double>(), key.starts_with("exclusive"), at};
    std::optional<SchemaFacts::Bound>& kept = lower ? facts.low : facts.high;
    const bool tighter = !kept || (lower ? bound.value > kept->value : bound.value < kept->value) ||
                         (bound.value == kept->value && bound.exclusive);
    if (tighter) kept = bound;
    return absl::OkStatus();
  }

  void AddPairs(const SchemaPlace& list) {
    if (!context_.one_ofs.insert(list.json).second) return;
    for (size_t i = 0; i < list.json->size(); ++i) {
      for (size_t j = 0; j < i; ++j) context_.exclusive.push_back({list, list.At(j), list.At(i)});
    }
  }

  FactsContext& context_;
  const SchemaJson& root_;
  std::vector<SchemaFacts> out_;
};

}  // namespace

unsigned TypesOf(const SchemaJson& value) {
  switch (value.type()) {
    case SchemaJson::value_t::null:
      return kNullType;
    case SchemaJson::value_t::boolean:
      return kBooleanType;
    case SchemaJson::value_t::string:
      return kStringType;
    case SchemaJson::value_t::array:
      return kArrayType;
    case SchemaJson::value_t::object:
      return kObjectType;
    case SchemaJson::value_t::number_float: {
      const double number = value.get<double>();
      return number == std::floor(number) ? kIntegerType | kNumberType : kNumberType;
    }
    default:
      return kIntegerType | kNumberType;
  }
}

absl::StatusOr<std::vector<SchemaFacts>> Alternatives(FactsContext& context,
                                                      const Conjunction& conjunction) {
  return FactCollector(context).Collect(conjunction);
}

}  // namespace crossover::llm::constrain
