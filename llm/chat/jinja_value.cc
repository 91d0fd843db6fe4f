#include "llm/chat/jinja_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::llm::jinja {
namespace {

// Both sides as numbers, if they are.
std::optional<std::pair<double, double>> Numbers(const Value& a, const Value& b) {
  const auto x = a.number(), y = b.number();
  if (!x || !y) return std::nullopt;
  return std::pair(*x, *y);
}

int Sign(bool less, bool greater) { return less ? -1 : greater ? 1 : 0; }

// Python prefers single quotes and changes to double quotes only where that saves escapes.
Text QuotedRepr(const Text& text) {
  const bool has_single = text.view().find('\'') != std::string_view::npos;
  const bool has_double = text.view().find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  Text out(std::string(1, quote));
  out.Append(text.Mapped([&](std::string_view run) {
    std::string escaped;
    for (const char c : run) {
      if (c == quote || c == '\\') {
        escaped += '\\';
        escaped += c;
      } else if (c == '\n') {
        escaped += "\\n";
      } else if (c == '\r') {
        escaped += "\\r";
      } else if (c == '\t') {
        escaped += "\\t";
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        escaped += absl::StrFormat("\\x%02x", static_cast<unsigned char>(c));
      } else {
        escaped += c;
      }
    }
    return escaped;
  }));
  out.Append(std::string(1, quote), kTemplate);
  return out;
}

Text ListRepr(const List& list) {
  Text out("[");
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out.Append(", ", kTemplate);
    out.Append(Repr(list[i]));
  }
  out.Append("]", kTemplate);
  return out;
}

Text DictRepr(const Dict& dict) {
  Text out("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.Append(", ", kTemplate);
    out.Append(QuotedRepr(dict.items[i].first));
    out.Append(": ", kTemplate);
    out.Append(Repr(dict.items[i].second));
  }
  out.Append("}", kTemplate);
  return out;
}

}  // namespace

absl::Status Failure(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "TEMPLATE_FAILED", message);
}

const Value* Dict::Find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name.view() == key) return &value;
  }
  return nullptr;
}

void Dict::Set(Text key, Value value) {
  for (auto& [name, old] : items) {
    if (name.view() != key.view()) continue;
    old = std::move(value);
    return;
  }
  items.emplace_back(std::move(key), std::move(value));
}

Value::Value(List list) : depth_(1) {
  for (const Value& item : list) Enclose(item);
  data_ = std::make_shared<const List>(std::move(list));
}

Value::Value(Dict dict) : depth_(1) {
  for (const auto& [key, value] : dict.items) Enclose(value);
  data_ = std::make_shared<const Dict>(std::move(dict));
}

Value::Value(std::shared_ptr<Namespace> space) : depth_(1), has_space_(true) {
  for (const auto& [key, value] : space->members.items) Enclose(value);
  data_ = std::move(space);
}

void Value::Enclose(const Value& inner) {
  depth_ = std::max(depth_, inner.depth_ + 1);
  has_space_ = has_space_ || inner.has_space_;
}

Value Value::FromJson(const nlohmann::ordered_json& json, Source source) {
  if (json.is_string()) return Text(json.get<std::string>(), source);
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer() && !(json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX))
    return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_array()) {
    List list;
    for (const auto& element : json) list.push_back(FromJson(element, source));
    return list;
  }
  if (json.is_object()) {
    Dict dict;
    for (const auto& [key, member] : json.items()) {
      dict.items.emplace_back(Text(key, source), FromJson(member, source));
    }
    return dict;
  }
  return None{};
}

std::optional<double> Value::number() const {
  if (is_float()) return std::get<double>(data_);
  if (const auto whole = integer()) return static_cast<double>(*whole);
  return std::nullopt;
}

std::optional<int64_t> Value::integer() const {
  if (is_integer()) return std::get<int64_t>(data_);
  if (is_bool()) return std::get<bool>(data_) ? 1 : 0;
  return std::nullopt;
}

bool Value::Truth() const {
  if (is_undefined() || is_none()) return false;
  if (const auto value = number()) return *value != 0;
  if (text() != nullptr) return !text()->empty();
  if (list() != nullptr) return !list()->empty();
  if (dict() != nullptr) return !dict()->items.empty();
  return true;
}

Text Value::ToText() const {
  if (text() != nullptr) return *text();
  if (is_undefined()) return Text();
  return Repr(*this);
}

std::string_view Value::Kind() const {
  if (is_undefined()) return "undefined";
  if (is_none()) return "none";
  if (is_bool()) return "a boolean";
  if (is_integer()) return "an integer";
  if (is_float()) return "a float";
  if (text() != nullptr) return "a string";
  if (list() != nullptr) return "a list";
  if (dict() != nullptr) return "a mapping";
  if (space() != nullptr) return "a namespace";
  return "a function";
}

bool Equal(const Value& a, const Value& b) {
  if (const auto numbers = Numbers(a, b)) return numbers->first == numbers->second;
  if (a.text() != nullptr && b.text() != nullptr) return a.text()->view() == b.text()->view();
  if (a.list() != nullptr && b.list() != nullptr) {
    return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                      Equal);
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    return std::all_of(a.dict()->items.begin(), a.dict()->items.end(), [&](const auto& item) {
      const Value* other = b.dict()->Find(item.first.view());
      return other != nullptr && Equal(item.second, *other);
    });
  }
  if (a.is_undefined() || a.is_none()) return a.is_undefined() ? b.is_undefined() : b.is_none();
  return a.space() != nullptr && a.space() == b.space();
}

std::optional<int> Compare(const Value& a, const Value& b) {
  if (const auto numbers = Numbers(a, b)) {
    return Sign(numbers->first<numbers->second, numbers->first> numbers->second);
  }
  if (a.text() != nullptr && b.text() != nullptr) {
    // The order of UTF-8 bytes is that of code points.
    const int order = a.text()->view().compare(b.text()->view());
    return Sign(order < 0, order > 0);
  }
  if (a.list() == nullptr || b.list() == nullptr) return std::nullopt;
  for (size_t i = 0; i < std::min(a.list()->size(), b.list()->size()); ++i) {
    const auto order = Compare((*a.list())[i], (*b.list())[i]);
    if (!order || *order != 0) return order;
  }
  return Sign(a.list()->size() < b.list()->size(), a.list()->size() > b.list()->size());
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  const char* end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                  std::chars_format::scientific)
                        .ptr;
  const std::string scientific(static_cast<const char*>(buffer.data()), end);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent >= -4 && exponent < 16) {
    std::array<char, 400> plain{};
    end = std::to_chars(plain.data(), plain.data() + plain.size(), value, std::chars_format::fixed)
              .ptr;
    std::string text(static_cast<const char*>(plain.data()), end);
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  return scientific;
}

Text Repr(const Value& value) {
  if (value.is_undefined()) return Text("Undefined");
  if (value.is_none()) return Text("None");
  if (value.is_bool()) return Text(value.Truth() ? "True" : "False");
  if (value.is_integer()) return Text(absl::StrCat(*value.integer()));
  if (value.is_float()) return Text(FloatText(*value.number()));
  if (value.text() != nullptr) return QuotedRepr(*value.text());
  if (value.list() != nullptr) return ListRepr(*value.list());
  if (value.dict() != nullptr) return DictRepr(*value.dict());
  if (value.space() != nullptr) return DictRepr(value.space()->members);
  return Text(absl::StrCat("<function ", value.function()->name, ">"));
}

}  // namespace crossover::llm::jinja
