// What expressions of a template evaluate to: the part of Python's data model that templates see.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/chat/jinja_text.h"

namespace crossover::llm::jinja {

class Value;

struct Undefined {
  std::string name;  // For messages.
};
struct None {};
using List = std::vector<Value>;
// Keys are text; in the order of insertion.
struct Dict {
  std::vector<std::pair<Text, Value>> items;

  const Value* Find(std::string_view key) const;
  void Set(Text key, Value value);
};
// The one thing a template may change: {% set ns.x = … %}. Holds no other namespace, so that
// values are trees.
struct Namespace {
  Dict members;
};
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
struct Function {
  std::string name;
  std::function<absl::StatusOr<Value>(Arguments arguments)> call;
};

// Immutable but for Namespace; copies share what they hold.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}  // NOLINT: values convert
  Value(None) : data_(None{}) {}                               // NOLINT
  Value(bool value) : data_(value) {}                          // NOLINT
  Value(int64_t value) : data_(value) {}                       // NOLINT
  Value(double value) : data_(value) {}                        // NOLINT
  Value(Text text) : data_(std::make_shared<const Text>(std::move(text))) {}    // NOLINT
  Value(List list);                                                             // NOLINT
  Value(Dict dict);                                                             // NOLINT
  Value(Function f) : data_(std::make_shared<const Function>(std::move(f))) {}  // NOLINT
  Value(std::shared_ptr<Namespace> space);                                      // NOLINT
  // Trusted text.
  static Value Of(std::string_view text) { return Value(Text(std::string(text))); }
  // Every text in it gets this source.
  static Value FromJson(const nlohmann::ordered_json& json, Source source);

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  // nullptr if it is something else.
  const Text* text() const { return Shared<const Text>(); }
  const List* list() const { return Shared<const List>(); }
  const Dict* dict() const { return Shared<const Dict>(); }
  const Function* function() const { return Shared<const Function>(); }
  Namespace* space() const { return Shared<Namespace>(); }
  // bool, integer or float as a number, as Python counts them.
  std::optional<double> number() const;
  // bool or integer.
  std::optional<int64_t> integer() const;
  // Of an undefined value.
  std::string_view undefined_name() const { return std::get<Undefined>(data_).name; }

  // Lists and mappings around the innermost value, itself included, when it was made. Who goes
  // through a value, or ends it, goes so many calls deep.
  int depth() const { return depth_; }
  // Is or contains a namespace.
  bool has_space() const { return has_space_; }

  bool Truth() const;
  // Python's str(): undefined is "".
  Text ToText() const;
  // "a string", "a list", … for messages.
  std::string_view Kind() const;

 private:
  // Of what this one holds.
  void Enclose(const Value& inner);

  template <typename T>
  T* Shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Function>>
      data_;
  int depth_ = 0;
  bool has_space_ = false;
};

bool Equal(const Value& a, const Value& b);
// -1, 0 or 1; nullopt for values that Python does not order.
std::optional<int> Compare(const Value& a, const Value& b);

// Python's repr().
Text Repr(const Value& value);

struct JsonStyle {
  std::optional<int64_t> indent;
  bool ascii = false;
  bool sort_keys = false;
};
// json.dumps() as transformers' tojson calls it. InvalidArgument for functions and undefined
// values.
absl::StatusOr<Text> ToJson(const Value& value, const JsonStyle& style);

// Python's repr() of a float.
std::string FloatText(double value);

// What is wrong with a template or with what was given to it: InvalidArgument TEMPLATE_FAILED.
absl::Status Failure(std::string_view message);

}  // namespace crossover::llm::jinja
