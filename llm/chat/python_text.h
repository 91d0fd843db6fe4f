// Text as Jinja filters produce it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace crossover::llm {

// Python's str.strip(): Unicode white space (and U+001C to U+001F) at both ends removed.
std::string_view Strip(std::string_view text);

// `tojson` as transformers defines it: json.dumps(value, ensure_ascii=False), so with ", " and ":
// ".
std::string ToPythonJson(const nlohmann::ordered_json& value);

}  // namespace crossover::llm
