#include "cli/output/words.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "cli/output/format.h"

namespace crossover::cli {
namespace {

// Longest first: each path is cut off once.
constexpr std::array<std::string_view, 8> kPaths = {"job.spec.sweep.base.",
                                                    "job.spec.training.",
                                                    "spec.sweep.base.",
                                                    "spec.training.",
                                                    "spec.sweep.",
                                                    "spec.model_export.",
                                                    "spec.",
                                                    "job."};

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

std::string_view PathAt(std::string_view text) {
  for (const std::string_view path : kPaths) {
    if (text.starts_with(path) && text.size() > path.size() && IsWordByte(text[path.size()]))
      return path;
  }
  return {};
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
    if (!inside) i += PathAt(text.substr(i)).size();
    const size_t begin = i;
    while (i < text.size() && IsWordByte(text[i])) ++i;
    const std::string_view word = text.substr(begin, i - begin);
    const bool known = !inside && std::ranges::count(kNames, word) > 0;
    out.append(known ? EnumWord(word) : std::string(word));
  }
  return out;
}

}  // namespace crossover::cli
