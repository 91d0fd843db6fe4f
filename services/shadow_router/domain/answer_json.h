// JSON that a model wrote.
#pragma once

#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

namespace crossover::router {

// What walks over such a value may recurse: a model that opens brackets without end must not run a
// thread out of stack.
inline constexpr int kMaxJsonDepth = 128;

// nullopt if the text is not valid JSON, or nested deeper than kMaxJsonDepth.
std::optional<nlohmann::json> ParseJson(std::string_view text);

}  // namespace crossover::router
