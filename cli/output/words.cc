#include "cli/output/words.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "cli/output/format.h"

namespace crossover::cli {
namespace {

// Longest first: what stands before a field of the API, after `job.` or alone.
constexpr std::array<std::string_view, 5> kPaths = {"spec.sweep.base.", "spec.model_export.",
                                                    "spec.training.", "spec.sweep.", "spec."};

// States and kinds of the API that messages name.
constexpr std::array<std::string_view, 42> kNames = {
    "ABORTED",     "ACTIVE",  "ADAPTER",        "ARCHIVED",       "BASE",        "BLOCKED",
    "CALIBRATING", "CANARY",  "CANCELLED",      "CANCELLING",     "COMPLETED",   "CURATION_RUN",
    "DISTIL",      "DRAFT",   "EQUIVALENCE",    "EVALUATION_RUN", "EXPORT",      "FAILED",
    "FINE_TUNE",   "HYBRID",  "IMPROVEMENT",    "JUDGE",          "LABEL",       "NEEDS_REVIEW",
    "PAUSED",      "PAUSING", "PREFERENCE",     "PROMOTED",       "QUEUED",      "READY",
    "REJECTED",    "RETIRED", "REVERSE_SHADOW", "REVOKED",        "ROLLED_BACK", "RUNNING",
    "SFT",         "SHADOW",  "SUCCEEDED",      "SWEEP",          "VALIDATING",  "VALIDATOR"};

bool IsWordByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool IsQuote(char c) { return c == '\'' || c == '"' || c == '`'; }

// The end of what is quoted from `begin`, whose byte is the quote; `begin` where it is an
// apostrophe.
size_t QuotedEnd(std::string_view text, size_t begin) {
  if (begin > 0 && IsWordByte(text[begin - 1])) return begin;
  const size_t end = text.find(text[begin], begin + 1);
  return end == std::string_view::npos ? begin : end;
}

bool StartsField(std::string_view text, std::string_view path) {
  return text.starts_with(path) && text.size() > path.size() && IsWordByte(text[path.size()]);
}

// Bytes of the path that `text` begins with.
size_t PathBytes(std::string_view text) {
  const size_t job = StartsField(text, "job.") ? 4 : 0;
  for (const std::string_view path : kPaths) {
    if (StartsField(text.substr(job), path)) return job + path.size();
  }
  return job;
}

}  // namespace

std::string PlainWords(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (IsQuote(text[i])) {
      const size_t end = QuotedEnd(text, i);
      out.append(text.substr(i, end + 1 - i));
      i = end + 1;
      continue;
    }
    if (!IsWordByte(text[i])) {
      out.push_back(text[i++]);
      continue;
    }
    const bool inside = i > 0 && (text[i - 1] == '.' || text[i - 1] == '/' || text[i - 1] == '-');
    if (!inside) i += PathBytes(text.substr(i));
    const size_t begin = i;
    while (i < text.size() && IsWordByte(text[i])) ++i;
    const std::string_view word = text.substr(begin, i - begin);
    const bool known = !inside && std::ranges::count(kNames, word) > 0;
    out.append(known ? EnumWord(word) : std::string(word));
  }
  return out;
}

}  // namespace crossover::cli
