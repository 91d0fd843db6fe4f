// Text with `{{variable}}` places.
//
// A name is [A-Za-z_][A-Za-z0-9_.]*, spaces inside the braces are allowed, `\{{` stands for the two
// braces themselves, and a single or closing brace is ordinary text, so that JSON can be written as
// it is. Values are put in as they are and never read as templates again.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::prompt {

using Variables = std::map<std::string, std::string>;

// Immutable and thread-safe once parsed.
class Template {
 public:
  // InvalidArgument PROMPT_INVALID with line and column of braces that hold no name.
  static absl::StatusOr<Template> Parse(std::string_view text);

  // Every name the text uses.
  std::set<std::string> Names() const;

  // InvalidArgument PROMPT_INVALID for the first name that `known` lacks, with its line and
  // column and the known names.
  absl::Status CheckNames(const std::set<std::string>& known) const;

  // InvalidArgument VARIABLE_MISSING for a name without a value.
  absl::StatusOr<std::string> Render(const Variables& variables) const;

 private:
  struct Piece {
    std::string text;  // literal text, or a name
    bool is_name = false;
    size_t line = 1;  // of a name
    size_t column = 1;
  };
  static std::string Where(const Piece& piece);
  std::vector<Piece> pieces_;
};

}  // namespace crossover::prompt
