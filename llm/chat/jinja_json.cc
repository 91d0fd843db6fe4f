// ToJson: json.dumps as Python writes it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/chat/jinja_value.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::llm::jinja {
namespace {

void EscapeUnit(uint32_t unit, std::string& out) { absl::StrAppendFormat(&out, "\\u%04x", unit); }

// The code point that begins at `at`, which is moved behind it. `text` is valid UTF-8.
uint32_t NextCodePoint(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint32_t first = byte(at++);
  const int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  uint32_t code = more == 0 ? first : first & (0x3fu >> more);
  for (int i = 0; i < more && at < text.size(); ++i) code = code << 6 | (byte(at++) & 0x3f);
  return code;
}

std::string Escaped(std::string_view text, bool ascii) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t code = NextCodePoint(text, at);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (code < 0x20 || (ascii && code > 0x7e && code < 0x10000)) {
          EscapeUnit(code, out);
        } else if (ascii && code >= 0x10000) {
          EscapeUnit(0xd800 + ((code - 0x10000) >> 10), out);
          EscapeUnit(0xdc00 + ((code - 0x10000) & 0x3ff), out);
        } else {
          out.append(text.substr(begin, at - begin));
        }
    }
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  absl::Status Write(const Value& value) {
    if (value.is_none()) return Put("null");
    if (value.is_bool()) return Put(value.Truth() ? "true" : "false");
    if (value.is_integer()) return Put(absl::StrCat(*value.integer()));
    if (value.is_float()) return Put(FloatJson(*value.number()));
    if (value.text() != nullptr) return WriteText(*value.text());
    if (value.list() != nullptr) return WriteList(*value.list());
    if (value.dict() != nullptr) return WriteDict(*value.dict());
    return Failure(absl::StrCat("tojson cannot write ", ToAbsl(value.Kind())));
  }

  Text Take() { return std::move(out_); }

 private:
  static std::string FloatJson(double value) {
    const std::string text = FloatText(value);
    if (text == "nan") return "NaN";
    if (text == "inf") return "Infinity";
    return text == "-inf" ? "-Infinity" : text;
  }

  absl::Status Put(std::string_view text) {
    out_.Append(text, kTemplate);
    return absl::OkStatus();
  }

  void NewLine() {
    out_.Append("\n", kTemplate);
    out_.Append(std::string(static_cast<size_t>(*style_.indent) * depth_, ' '), kTemplate);
  }

  // Before element `i` of a list or mapping.
  void Separate(size_t i) {
    if (i > 0) out_.Append(style_.indent ? "," : ", ", kTemplate);
    if (style_.indent) NewLine();
  }

  absl::Status WriteText(const Text& text) {
    out_.Append("\"", kTemplate);
    out_.Append(text.Mapped([&](std::string_view run) { return Escaped(run, style_.ascii); }));
    out_.Append("\"", kTemplate);
    return absl::OkStatus();
  }

  absl::Status WriteList(const List& list) {
    if (list.empty()) return Put("[]");
    out_.Append("[", kTemplate);
    ++depth_;
    for (size_t i = 0; i < list.size(); ++i) {
      Separate(i);
      RETURN_IF_ERROR(Write(list[i]));
    }
    --depth_;
    if (style_.indent) NewLine();
    return Put("]");
  }

  absl::Status WriteDict(const Dict& dict) {
    if (dict.items.empty()) return Put("{}");
    std::vector<const std::pair<Text, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [](const auto* a, const auto* b) {
        return a->first.view() < b->first.view();
      });
    }
    out_.Append("{", kTemplate);
    ++depth_;
    for (size_t i = 0; i < items.size(); ++i) {
      Separate(i);
      RETURN_IF_ERROR(WriteText(items[i]->first));
      out_.Append(": ", kTemplate);
      RETURN_IF_ERROR(Write(items[i]->second));
    }
    --depth_;
    if (style_.indent) NewLine();
    return Put("}");
  }

  const JsonStyle& style_;
  size_t depth_ = 0;
  Text out_;
};

}  // namespace

absl::StatusOr<Text> ToJson(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  RETURN_IF_ERROR(writer.Write(value));
  return writer.Take();
}

}  // namespace crossover::llm::jinja
