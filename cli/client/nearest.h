// "Did you mean …?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossover::cli {

// The one of `known` that `word` is most likely a misspelling of; empty when none is near (more
// than two letters and more than a third of them differ).
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace crossover::cli
