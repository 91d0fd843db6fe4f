// Lines that tokenizers disagree on: many scripts, code, emoji, white space, digits, control
// tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::compat {

// The same lines for the same arguments, on every machine. Characters are from Unicode 15 or
// before: engines differ on later ones.
std::vector<std::string> TextCorpus(size_t lines, uint64_t seed);

// The first `most` lines of a file of real text, without their ends; lines that are not UTF-8 or
// empty are left out. NotFound names a file that cannot be read.
absl::StatusOr<std::vector<std::string>> TextOfFile(const std::filesystem::path& path, size_t most);

// What the tests compare on: `lines` of TextCorpus, or as many as CROSSOVER_COMPAT_LINES says, then
// those of the file that CROSSOVER_COMPAT_TEXT names, if it does. At most as many of each.
// InvalidArgument for a number that is none.
absl::StatusOr<std::vector<std::string>> TextToCompare(size_t lines, uint64_t seed);

}  // namespace crossover::compat
