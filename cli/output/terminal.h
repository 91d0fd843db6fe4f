// Where a command writes to, and what that place can show.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace crossover::cli {

// Borrowed streams. Results go to `out`; progress, notes and errors to `err`, so that `crossover …
// | jq` works.
struct Terminal {
  std::ostream& out;
  std::ostream& err;
  // What `out` is. Neither colour nor truncation when it is not a terminal.
  bool out_is_terminal = false;
  // What `err` is. Progress is drawn in place only on a terminal.
  bool err_is_terminal = false;
  bool color = false;
  // Columns of the terminal; tables are fitted to it when out_is_terminal.
  int width = 80;
};

// The process's own: looks at isatty, NO_COLOR, TERM and the window's size.
Terminal SystemTerminal();

enum class Style { kPlain, kBold, kDim, kGood, kWarning, kBad };

// `text` in a style, or as it is without colour.
std::string Styled(const Terminal& terminal, Style style, std::string_view text);

}  // namespace crossover::cli
