// Text as similarity sees it: case, width and punctuation don't count.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossover::curation {

// NFKC with case folding (Unicode 15, UAX #15 and section 3.13). Bytes that are not UTF-8 become
// U+FFFD. Thread-safe.
std::string Normalise(std::string_view text);

// The runs of letters, digits, marks and `_` of a normalised text, in order; views into it.
std::vector<std::string_view> Words(std::string_view normalised);

// Words joined by single spaces.
std::string JoinWords(const std::vector<std::string_view>& words);

}  // namespace crossover::curation
