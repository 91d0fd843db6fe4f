// Lines that tokenizers disagree on: many scripts, code, emoji, white space, digits, control
// tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace crossover::compat {

// The same lines for the same arguments, on every machine. Characters are from Unicode 15 or
// before: engines differ on later ones.
std::vector<std::string> TextCorpus(size_t lines, uint64_t seed);

}  // namespace crossover::compat
