#include "llm/chat/python_text.h"

#include <nlohmann/json.hpp>

#include "llm/tokenizer/utf8.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kSpaces[] = {"\t",     "\n",     "\v",     "\f",     "\r",     "\x1c",
                                        "\x1d",   "\x1e",   "\x1f",   " ",      "\u0085", "\u00a0",
                                        "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                        "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

void Append(const nlohmann::ordered_json& value, std::string& out) {
  const char* separator = "";
  if (value.is_object()) {
    out += "{";
    for (const auto& [key, member] : value.items()) {
      out += separator;
      Append(nlohmann::ordered_json(key), out);
      out += ": ";
      Append(member, out);
      separator = ", ";
    }
    out += "}";
  } else if (value.is_array()) {
    out += "[";
    for (const auto& element : value) {
      out += separator;
      Append(element, out);
      separator = ", ";
    }
    out += "]";
  } else {
    out += value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
}

}  // namespace

std::string_view Strip(std::string_view text) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : kSpaces) {
      while (text.starts_with(space)) {
        text.remove_prefix(space.size());
        again = true;
      }
      while (text.ends_with(space)) {
        text.remove_suffix(space.size());
        again = true;
      }
    }
  }
  return text;
}

std::string ToPythonJson(const nlohmann::ordered_json& value) {
  std::string out;
  Append(value, out);
  return out;
}

}  // namespace crossover::llm
