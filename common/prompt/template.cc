#include "common/prompt/template.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::prompt {
namespace {

bool IsName(std::string_view text) {
  if (text.empty() || !(absl::ascii_isalpha(text[0]) || text[0] == '_')) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '.'; });
}

std::string_view Trim(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

struct Position {
  size_t line = 1;
  size_t column = 1;
};

// Line and column (from 1, in bytes) of an offset.
Position PositionOf(std::string_view text, size_t offset) {
  Position position;
  for (char c : text.substr(0, offset)) {
    position =
        c == '\n' ? Position{position.line + 1, 1} : Position{position.line, position.column + 1};
  }
  return position;
}

}  // namespace

std::string Template::Where(const Piece& piece) {
  return absl::StrCat("line ", piece.line, " column ", piece.column);
}

absl::StatusOr<Template> Template::Parse(std::string_view text) {
  Template result;
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) result.pieces_.push_back({.text = std::move(literal)});
    literal.clear();
  };
  size_t at = 0;
  while (at < text.size()) {
    const size_t open = text.find("{{", at);
    if (open == std::string_view::npos) break;
    if (open > at && text[open - 1] == '\\') {
      literal.append(text.substr(at, open - 1 - at)).append("{{");
      at = open + 2;
      continue;
    }
    literal.append(text.substr(at, open - at));
    const size_t close = text.find("}}", open + 2);
    const Position position = PositionOf(text, open);
    const std::string_view name = close == std::string_view::npos
                                      ? std::string_view()
                                      : Trim(text.substr(open + 2, close - open - 2));
    if (!IsName(name)) {
      return Error(absl::StatusCode::kInvalidArgument, "PROMPT_INVALID",
                   absl::StrCat("line ", position.line, " column ", position.column,
                                ": `{{` is not followed by a variable's name and `}}`; write "
                                "`\\{{` for the braces themselves"));
    }
    flush();
    result.pieces_.push_back({.text = std::string(name),
                              .is_name = true,
                              .line = position.line,
                              .column = position.column});
    at = close + 2;
  }
  literal.append(text.substr(std::min(at, text.size())));
  flush();
  return result;
}

std::set<std::string> Template::Names() const {
  std::set<std::string> names;
  for (const Piece& piece : pieces_) {
    if (piece.is_name) names.insert(piece.text);
  }
  return names;
}

absl::Status Template::CheckNames(const std::set<std::string>& known) const {
  for (const Piece& piece : pieces_) {
    if (!piece.is_name || known.contains(piece.text)) continue;
    return Error(absl::StatusCode::kInvalidArgument, "PROMPT_INVALID",
                 absl::StrCat(Where(piece), ": unknown variable `", piece.text,
                              "`; the prompt declares: ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Template::Render(const Variables& variables) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    if (!piece.is_name) {
      out += piece.text;
      continue;
    }
    const auto value = variables.find(piece.text);
    if (value == variables.end()) {
      return Error(absl::StatusCode::kInvalidArgument, "VARIABLE_MISSING",
                   absl::StrCat(Where(piece), ": variable `", piece.text, "` was given no value"));
    }
    out += value->second;
  }
  return out;
}

}  // namespace crossover::prompt
