#include "services/shadow_router/domain/redactor.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace crossover::router {
namespace {

struct Pattern {
  const char* name;
  const char* expression;
  bool luhn;
};

// Order matters: what an earlier rule took is not seen by a later one.
constexpr std::array<Pattern, 7> kPatterns = {{
    {"EMAIL", R"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)", false},
    {"SECRET",
     R"((?i)\b(?:bearer\s+[\w\-.=]{16,}|(?:sk|pk|rk|ghp|gho|xox[abp])[-_][\w-]{16,}|AKIA[0-9A-Z]{16})\b)",
     false},
    {"IBAN", R"(\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?\b)", false},
    {"CARD", R"(\b\d(?:[ -]?\d){12,18}\b)", true},
    {"IP", R"(\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b)", false},
    {"SSN", R"(\b\d{3}-\d{2}-\d{4}\b)", false},
    {"PHONE", R"((?<![\w.])\+?\d{1,3}[ .-]?\(?\d{2,4}\)?(?:[ .-]\d{2,4}){2,3}(?![\w.]))", false},
}};

// ISO/IEC 7812-1, annex B.
bool PassesLuhn(std::string_view text) {
  int sum = 0;
  bool twice = false;
  for (auto it = text.rbegin(); it != text.rend(); ++it) {
    if (*it < '0' || *it > '9') continue;
    int digit = *it - '0';
    if (twice) digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
    sum += digit;
    twice = !twice;
  }
  return sum % 10 == 0;
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDeleter {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

struct Redactor::Rule {
  std::string replacement;
  bool luhn;
  std::unique_ptr<pcre2_code, CodeDeleter> code;
};

Redactor::Redactor() = default;
Redactor::~Redactor() = default;

absl::StatusOr<std::unique_ptr<Redactor>> Redactor::Create() {
  std::unique_ptr<Redactor> redactor(new Redactor());
  for (const Pattern& pattern : kPatterns) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.expression), PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    if (code == nullptr) {
      return absl::InternalError(
          absl::StrCat("redaction rule ", pattern.name, " does not compile at ", offset));
    }
    redactor->rules_.push_back({absl::StrCat("[", pattern.name, "]"), pattern.luhn,
                                std::unique_ptr<pcre2_code, CodeDeleter>(code)});
  }
  return redactor;
}

absl::StatusOr<Redacted> Redactor::Redact(std::string_view text) const {
  Redacted result{std::string(text), 0};
  for (const Rule& rule : rules_) {
    const std::unique_ptr<pcre2_match_data, MatchDeleter> match(
        pcre2_match_data_create_from_pattern(rule.code.get(), nullptr));
    std::string out;
    size_t copied = 0;
    size_t at = 0;
    while (at <= result.text.size()) {
      const int found =
          pcre2_match(rule.code.get(), reinterpret_cast<PCRE2_SPTR>(result.text.data()),
                      result.text.size(), at, 0, match.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0)
        return absl::InternalError(absl::StrCat("redaction failed with PCRE2 error ", found));
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
      const std::string_view hit =
          std::string_view(result.text).substr(range[0], range[1] - range[0]);
      at = range[1];
      if (rule.luhn && !PassesLuhn(hit)) continue;
      out.append(result.text, copied, range[0] - copied);
      out.append(rule.replacement);
      copied = range[1];
      ++result.redactions;
    }
    if (copied == 0) continue;
    out.append(result.text, copied);
    result.text = std::move(out);
  }
  return result;
}

}  // namespace crossover::router
