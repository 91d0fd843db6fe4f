#include "cli/output/width.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace crossover::cli {
namespace {

int CharacterWidth(UChar32 c) {
  if (c < 0x20 || c == 0x7f) return 0;
  switch (u_charType(c)) {
    case U_NON_SPACING_MARK:
    case U_ENCLOSING_MARK:
    case U_FORMAT_CHAR:
      return 0;
    default:
      break;
  }
  const int width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
  return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

// One character or one colour sequence: where it ends and how wide it is.
struct Unit {
  size_t end;
  int width;
};

Unit NextUnit(std::string_view text, size_t begin) {
  if (text.substr(begin, 2) == "\x1b[") {
    const size_t end = text.find('m', begin);
    return {end == std::string_view::npos ? text.size() : end + 1, 0};
  }
  int32_t offset = static_cast<int32_t>(begin);
  UChar32 c = 0;
  U8_NEXT_OR_FFFD(text.data(), offset, static_cast<int32_t>(text.size()), c);
  return {static_cast<size_t>(offset), CharacterWidth(c)};
}

}  // namespace

int DisplayWidth(std::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    const Unit unit = NextUnit(text, i);
    width += unit.width;
    i = unit.end;
  }
  return width;
}

std::string Truncated(std::string_view text, int columns) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  std::string out;
  int width = 0;
  bool full = false;
  for (size_t i = 0; i < text.size();) {
    const Unit unit = NextUnit(text, i);
    const bool is_sequence = text[i] == '\x1b';
    full = full || width + unit.width > columns - 1;
    if (is_sequence || !full) {
      out.append(text.substr(i, unit.end - i));
      width += unit.width;
    }
    i = unit.end;
  }
  // The ellipsis goes before a closing colour sequence.
  const size_t closing = out.rfind("\x1b[0m");
  const bool at_end = closing != std::string::npos && closing + 4 == out.size();
  out.insert(at_end ? closing : out.size(), columns > 0 ? "…" : "");
  return out;
}

}  // namespace crossover::cli
