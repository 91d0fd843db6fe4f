#include "cli/output/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

namespace crossover::cli {
namespace {

int WindowWidth(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

const char* Sequence(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kGood:
      return "\x1b[32m";
    case Style::kWarning:
      return "\x1b[33m";
    case Style::kBad:
      return "\x1b[31m";
  }
  return "";
}

}  // namespace

Terminal SystemTerminal() {
  Terminal terminal{.out = std::cout, .err = std::cerr};
  terminal.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  terminal.err_is_terminal = isatty(STDERR_FILENO) == 1;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  terminal.color = terminal.out_is_terminal && !dumb && (no_color == nullptr || *no_color == '\0');
  terminal.width = WindowWidth(terminal.out_is_terminal ? STDOUT_FILENO : STDERR_FILENO);
  return terminal;
}

std::string Styled(const Terminal& terminal, Style style, std::string_view text) {
  if (!terminal.color || style == Style::kPlain) return std::string(text);
  return std::string(Sequence(style)) + std::string(text) + "\x1b[0m";
}

}  // namespace crossover::cli
