#include "services/training_scheduler/domain/suffix.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace crossover::scheduler {
namespace {

// Of a character of UTF-8 the first byte alone counts.
bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

bool IsSuffix(std::string_view text) {
  return std::count_if(text.begin(), text.end(), BeginsCharacter) <= kLongestSuffix &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

std::string SuffixSlug(std::string_view suffix) {
  std::string slug;
  for (const char c : suffix) {
    if (!BeginsCharacter(c)) continue;
    const auto byte = static_cast<unsigned char>(c);
    slug.push_back(absl::ascii_isalnum(byte) ? absl::ascii_tolower(byte) : '-');
  }
  return slug;
}

}  // namespace crossover::scheduler
