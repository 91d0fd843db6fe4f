// What a person calls an adapter, and how its names say it.
#pragma once

#include <string>
#include <string_view>

namespace crossover::scheduler {

inline constexpr int kLongestSuffix = 64;  // characters

// At most that many, none of them a control character; empty = none is given.
bool IsSuffix(std::string_view text);

// For names: lower case, and a dash for each character that is no letter of ASCII, digit or dash.
// Its own slug for what is one.
std::string SuffixSlug(std::string_view suffix);

}  // namespace crossover::scheduler
