// Regular expressions (PCRE2), with limits so that no pattern can hang a run.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/evaluation/domain/graders.h"

namespace crossover::evaluation {
namespace {

constexpr uint32_t kMatchLimit = 1'000'000;

using Code = std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)>;

absl::StatusOr<Code> Compile(const std::string& name, const std::string& pattern) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  Code compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_DOTALL | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code,
                              &offset, nullptr),
                &pcre2_code_free);
  if (compiled) return compiled;
  PCRE2_UCHAR message[256];
  pcre2_get_error_message(code, message, sizeof(message));
  return Error(absl::StatusCode::kInvalidArgument, "GRADER_INVALID",
               absl::StrCat("grader ", name, ": pattern at character ", offset + 1, ": ",
                            reinterpret_cast<char*>(message)));
}

int Match(const pcre2_code* code, const std::string& text) {
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code, nullptr), &pcre2_match_data_free);
  return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, data.get(),
                     context.get());
}

class RegexGrader final : public Grader {
 public:
  RegexGrader(GraderSpec spec, Code code) : Grader(std::move(spec)), code_(std::move(code)) {}

  Grade Score(const std::string& expected, const std::string& answer) const override {
    if (code_) return Of(Match(code_.get(), answer));
    absl::StatusOr<Code> own = Compile(spec().name, expected);
    if (!own.ok()) return {.note = "the expected answer is not a valid pattern"};
    return Of(Match(own->get(), answer));
  }

 private:
  static Grade Of(int result) {
    if (result >= 0) return {.score = 1};
    return {.note = result == PCRE2_ERROR_NOMATCH
                        ? "does not match"
                        : "the pattern took too long or the answer is not UTF-8"};
  }

  Code code_;  // null: the expected text is the pattern
};

}  // namespace

absl::StatusOr<std::unique_ptr<Grader>> MakeRegexGrader(const GraderSpec& spec) {
  Code code(nullptr, &pcre2_code_free);
  if (!spec.pattern.empty()) {
    ASSIGN_OR_RETURN(code, Compile(spec.name, spec.pattern));
  }
  return std::make_unique<RegexGrader>(spec, std::move(code));
}

}  // namespace crossover::evaluation
