// "Did you mean …?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace crossover::cli {

// The one of `known` that `word` is most likely a misspelling of; empty when none is near (more
// than two letters and more than a third of them differ).
std::string Nearest(std::string_view word, const std::vector<std::string>& known);

// How a message that there is no `word` goes on: with the one of `known` that was probably meant,
// else with the first of them and the command that lists all, else with the one that makes one.
std::string InsteadOf(std::string_view word, const std::vector<std::string>& known,
                      const std::string& list, const std::string& make);

}  // namespace crossover::cli
