// How many columns text takes on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace crossover::cli {

// Columns of UTF-8 text: wide East Asian characters and emoji count two, combining marks and colour
// sequences none.
int DisplayWidth(std::string_view text);

// At most `columns` wide, cut at a character's border and ended by "…" when something was cut.
// Colour sequences are kept whole.
std::string Truncated(std::string_view text, int columns);

}  // namespace crossover::cli
