#include "llm/tokenizer/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {
namespace {

// White_Space of Unicode 15 (PropList.txt).
constexpr std::string_view kWhiteSpace =
    R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Match data is scratch memory; one per thread serves all patterns, which have no capture groups
// that we read.
pcre2_match_data* ThreadMatchData() {
  struct Free {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  thread_local const std::unique_ptr<pcre2_match_data, Free> data(
      pcre2_match_data_create(1, nullptr));
  return data.get();
}

}  // namespace

std::string SpellOutWhiteSpace(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        absl::StrAppend(&out, in_class ? "" : "[", ToAbsl(kWhiteSpace), in_class ? "" : "]");
      } else if (escaped == 'S' && !in_class) {
        absl::StrAppend(&out, "[^", ToAbsl(kWhiteSpace), "]");
      } else {
        out.push_back(c);
        out.push_back(escaped);
      }
      continue;
    }
    if (c == '[' && !in_class) in_class = true;
    if (c == ']' && in_class) in_class = false;
    out.push_back(c);
  }
  return out;
}

class PreTokenizer::Pattern {
 public:
  static absl::StatusOr<Pattern> Compile(const std::string& text) {
    const std::string spelled = SpellOutWhiteSpace(text);
    int error = 0;
    PCRE2_SIZE offset = 0;
    std::unique_ptr<pcre2_code, Free> code(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(),
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
    if (code == nullptr) {
      std::array<PCRE2_UCHAR, 256> message{};
      pcre2_get_error_message(error, message.data(), message.size());
      return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                   absl::StrCat("the pre-tokenizer's pattern '", text, "' does not compile: ",
                                reinterpret_cast<const char*>(message.data())));
    }
    // Without JIT (an unusual processor) matching is slower, not wrong.
    (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    return Pattern(std::move(code));
  }

  // Start and end of the next non-empty match at or after `from`; {npos, npos} if there is none.
  absl::StatusOr<std::pair<size_t, size_t>> Find(std::string_view text, size_t from) const {
    const int found =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, ThreadMatchData(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH)
      return std::pair(std::string_view::npos, std::string_view::npos);
    if (found < 0) {
      return Error(absl::StatusCode::kResourceExhausted, "FORMAT_INVALID",
                   absl::StrCat("the pre-tokenizer's pattern gave up on the text (PCRE2 error ",
                                found, ")"));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(ThreadMatchData());
    return std::pair<size_t, size_t>(bounds[0], bounds[1]);
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  explicit Pattern(std::unique_ptr<pcre2_code, Free> code) : code_(std::move(code)) {}

  std::unique_ptr<pcre2_code, Free> code_;
};

PreTokenizer::PreTokenizer(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

absl::StatusOr<PreTokenizer> PreTokenizer::Create(const std::vector<std::string>& patterns) {
  std::vector<Pattern> compiled;
  for (const std::string& text : patterns) {
    ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(text));
    compiled.push_back(std::move(pattern));
  }
  return PreTokenizer(std::move(compiled));
}

absl::Status PreTokenizer::Split(std::string_view text,
                                 const std::function<void(std::string_view)>& piece) const {
  return SplitFrom(0, text, piece);
}

absl::Status PreTokenizer::SplitFrom(size_t step, std::string_view text,
                                     const std::function<void(std::string_view)>& piece) const {
  if (text.empty()) return absl::OkStatus();
  if (step == patterns_.size()) {
    piece(text);
    return absl::OkStatus();
  }
  size_t done = 0;
  while (done < text.size()) {
    ASSIGN_OR_RETURN(const auto match, patterns_[step].Find(text, done));
    const size_t begin = std::min(match.first, text.size());
    const size_t end = std::min(match.second, text.size());
    RETURN_IF_ERROR(SplitFrom(step + 1, text.substr(done, begin - done), piece));
    RETURN_IF_ERROR(SplitFrom(step + 1, text.substr(begin, end - begin), piece));
    done = end;
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
