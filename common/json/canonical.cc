#include "common/json/canonical.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover {
namespace {

constexpr int64_t kExactIntegers = int64_t{1} << 53;

absl::Status NotCanonical(std::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "JSON_NOT_CANONICAL",
               "the JSON value has no canonical form: " + std::string(why));
}

// UTF-8 bytes sort like UTF-16 code units, but for characters above U+FFFF (lead byte F0 and up):
// their surrogates (D800…) come before U+E000…U+FFFF (lead bytes EE, EF).
bool Utf16Less(std::string_view a, std::string_view b) {
  const auto [left, right] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (left == a.end() || right == b.end()) return left == a.end() && right != b.end();
  const auto x = static_cast<unsigned char>(*left);
  const auto y = static_cast<unsigned char>(*right);
  if (x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0)) return x > y;
  return x < y;
}

absl::Status AppendString(std::string_view text, std::string& out) {
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return NotCanonical("a string is not UTF-8");
  }
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
  return absl::OkStatus();
}

absl::Status Append(const nlohmann::json& value, std::string& out);

absl::Status AppendObject(const nlohmann::json& object, std::string& out) {
  std::vector<nlohmann::json::const_iterator> members;
  members.reserve(object.size());
  for (auto it = object.begin(); it != object.end(); ++it) members.push_back(it);
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return Utf16Less(a.key(), b.key()); });
  out += '{';
  for (size_t i = 0; i < members.size(); ++i) {
    if (i > 0) out += ',';
    RETURN_IF_ERROR(AppendString(members[i].key(), out));
    out += ':';
    RETURN_IF_ERROR(Append(*members[i], out));
  }
  out += '}';
  return absl::OkStatus();
}

absl::Status AppendArray(const nlohmann::json& array, std::string& out) {
  out += '[';
  for (size_t i = 0; i < array.size(); ++i) {
    if (i > 0) out += ',';
    RETURN_IF_ERROR(Append(array[i], out));
  }
  out += ']';
  return absl::OkStatus();
}

absl::Status AppendNumber(const nlohmann::json& number, std::string& out) {
  const double value = number.get<double>();
  if (!std::isfinite(value)) return NotCanonical("a number is not finite");
  out += EcmaScriptNumber(value);
  return absl::OkStatus();
}

absl::Status Append(const nlohmann::json& value, std::string& out) {
  using Type = nlohmann::json::value_t;
  switch (value.type()) {
    case Type::null:
      out += "null";
      return absl::OkStatus();
    case Type::boolean:
      out += value.get<bool>() ? "true" : "false";
      return absl::OkStatus();
    case Type::string:
      return AppendString(value.get_ref<const std::string&>(), out);
    case Type::array:
      return AppendArray(value, out);
    case Type::object:
      return AppendObject(value, out);
    case Type::number_integer:
    case Type::number_unsigned:
    case Type::number_float:
      return AppendNumber(value, out);
    default:
      return NotCanonical("it holds binary or discarded data");
  }
}

// Decimal digits and the exponent n of ECMA-262 Number::toString: value = 0.digits × 10^n.
struct Decimal {
  std::string digits;
  int n = 0;
};

Decimal ShortestDecimal(double value) {
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));  // d[.ddd]e±xx
  const size_t e = text.find('e');
  Decimal out;
  for (const char c : text.substr(0, e)) {
    if (c != '.') out.digits += c;
  }
  out.n = std::stoi(std::string(text.substr(e + 1))) + 1;
  return out;
}

}  // namespace

// ECMA-262 §6.1.6.1.20 Number::toString, steps 6–10.
std::string EcmaScriptNumber(double value) {
  if (value == 0) return "0";
  if (value < 0) return "-" + EcmaScriptNumber(-value);
  if (value < static_cast<double>(kExactIntegers) && value == std::floor(value)) {
    return std::to_string(static_cast<int64_t>(value));
  }
  const auto [digits, n] = ShortestDecimal(value);
  const int k = static_cast<int>(digits.size());
  if (k <= n && n <= 21) return digits + std::string(n - k, '0');
  if (0 < n && n <= 21) return digits.substr(0, n) + "." + digits.substr(n);
  if (-6 < n && n <= 0) return "0." + std::string(-n, '0') + digits;
  const std::string exponent = (n > 0 ? "e+" : "e-") + std::to_string(std::abs(n - 1));
  if (k == 1) return digits + exponent;
  return digits.substr(0, 1) + "." + digits.substr(1) + exponent;
}

absl::StatusOr<std::string> CanonicalJson(const nlohmann::json& value) {
  std::string out;
  RETURN_IF_ERROR(Append(value, out));
  return out;
}

absl::StatusOr<std::string> CanonicalDigest(const nlohmann::json& value) {
  ASSIGN_OR_RETURN(const std::string bytes, CanonicalJson(value));
  return DigestOf(bytes);
}

}  // namespace crossover
