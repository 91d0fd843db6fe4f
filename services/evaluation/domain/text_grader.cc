// Exact, normalised, choice and numeric comparison.
#include <algorithm>
#include <cmath>
#include <optional>

#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/evaluation/domain/graders.h"

namespace crossover::evaluation {
namespace {

std::string Trimmed(const std::string& text) {
  return std::string(absl::StripAsciiWhitespace(text));
}

// Case folded; runs of white space and punctuation become one space.
std::string Normalised(const std::string& text) {
  icu::UnicodeString folded = icu::UnicodeString::fromUTF8(text).foldCase();
  icu::UnicodeString out;
  bool gap = false;
  for (int32_t i = 0; i < folded.length(); i = folded.moveIndex32(i, 1)) {
    UChar32 c = folded.char32At(i);
    if (u_isUWhiteSpace(c) || u_ispunct(c)) {
      gap = !out.isEmpty();
      continue;
    }
    if (gap) out.append(static_cast<UChar32>(' '));
    gap = false;
    out.append(c);
  }
  std::string result;
  out.toUTF8String(result);
  return result;
}

// The choice an answer names: the only one equal to it, or else the only one that it contains as a
// word.
std::optional<std::string> ChoiceIn(const std::string& answer,
                                    const std::vector<std::string>& choices) {
  std::string padded = absl::StrCat(" ", Normalised(answer), " ");
  std::optional<std::string> found;
  for (const std::string& choice : choices) {
    std::string normal = Normalised(choice);
    if (padded == absl::StrCat(" ", normal, " ")) return choice;
    if (normal.empty() || padded.find(absl::StrCat(" ", normal, " ")) == std::string::npos)
      continue;
    if (found) return std::nullopt;
    found = choice;
  }
  return found;
}

// The last number in a text; thousands separators allowed.
std::optional<double> LastNumber(const std::string& text) {
  size_t end = text.find_last_of("0123456789");
  if (end == std::string::npos) return std::nullopt;
  size_t begin = end;
  while (begin > 0 &&
         (absl::ascii_isdigit(text[begin - 1]) ||
          std::string_view(".,eE+-").find(text[begin - 1]) != std::string_view::npos)) {
    --begin;
  }
  std::string number = text.substr(begin, end - begin + 1);
  number.erase(std::remove(number.begin(), number.end(), ','), number.end());
  while (!number.empty()) {
    double value = 0;
    if (absl::SimpleAtod(number, &value)) return value;
    // A range "3-5", or a sentence's full stop before the number: what follows a digit is no sign.
    bool digit = absl::ascii_isdigit(number[0]);
    number.erase(0, 1);
    if (digit && !number.empty() && (number[0] == '-' || number[0] == '+')) number.erase(0, 1);
  }
  return std::nullopt;
}

class TextGrader final : public Grader {
 public:
  using Grader::Grader;

  Grade Score(const std::string& expected, const std::string& answer) const override {
    switch (spec().kind) {
      case GraderKind::kExact:
        return Of(Trimmed(expected) == Trimmed(answer), "another text");
      case GraderKind::kNormalised:
        return Of(Normalised(expected) == Normalised(answer), "another text after normalisation");
      case GraderKind::kChoice:
        return Choice(expected, answer);
      default:
        return Numeric(expected, answer);
    }
  }

 private:
  static Grade Of(bool right, const char* note) {
    return {.score = right ? 1.0 : 0.0, .note = right ? "" : note};
  }

  Grade Choice(const std::string& expected, const std::string& answer) const {
    std::optional<std::string> named = ChoiceIn(answer, spec().choices);
    if (!named) return Of(false, "names none of the choices, or several");
    return Of(Normalised(*named) == Normalised(expected), "names another choice");
  }

  Grade Numeric(const std::string& expected, const std::string& answer) const {
    std::optional<double> wanted = LastNumber(expected);
    std::optional<double> given = LastNumber(answer);
    if (!wanted) return Of(false, "the expected answer holds no number");
    if (!given) return Of(false, "holds no number");
    double tolerance =
        std::max(spec().absolute_tolerance, spec().relative_tolerance * std::abs(*wanted));
    return Of(std::abs(*wanted - *given) <= tolerance, "another number");
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Grader>> MakeTextGrader(const GraderSpec& spec) {
  auto bad = [&](const char* what) {
    return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
                 absl::StrCat("grader ", spec.name, ": ", what));
  };
  if (spec.kind == GraderKind::kChoice && spec.choices.empty()) return bad("choices is empty");
  if (spec.absolute_tolerance < 0 || spec.relative_tolerance < 0)
    return bad("a tolerance is negative");
  return std::make_unique<TextGrader>(spec);
}

}  // namespace crossover::evaluation
