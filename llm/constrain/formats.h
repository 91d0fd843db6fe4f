// `format` of JSON Schema as regular expressions.
#pragma once

#include <string_view>

namespace crossover::llm::constrain {

// For the whole text; "" for a format that is not served.
std::string_view PatternOfFormat(std::string_view format);

// The formats that are, for messages.
inline constexpr std::string_view kServedFormats =
    "date, time, date-time, uuid, email, ipv4, hostname";

}  // namespace crossover::llm::constrain
