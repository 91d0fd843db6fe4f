#include "services/data_curation/domain/shingle.h"

#include <unicode/utf8.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <string>

#include "services/data_curation/domain/text.h"

namespace crossover::curation {
namespace {

uint64_t Hash(const void* data, size_t size) { return XXH3_64bits(data, size); }

void SortUnique(ShingleSet& set) {
  std::sort(set.begin(), set.end());
  set.erase(std::unique(set.begin(), set.end()), set.end());
}

// Offsets at which code points begin, and the end.
std::vector<int32_t> Boundaries(const std::string& text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto length = static_cast<int32_t>(text.size());
  std::vector<int32_t> boundaries;
  boundaries.reserve(text.size() + 1);
  for (int32_t at = 0; at < length;) {
    boundaries.push_back(at);
    U8_FWD_1(bytes, at, length);
  }
  boundaries.push_back(length);
  return boundaries;
}

}  // namespace

ShingleSet WordShingles(std::string_view normalised, int n) {
  ShingleSet hashes;
  for (std::string_view word : Words(normalised)) hashes.push_back(Hash(word.data(), word.size()));
  if (hashes.empty()) return {};
  // A shingle is the hash of its words' hashes, so that no text is copied.
  const size_t width = std::min(hashes.size(), static_cast<size_t>(n));
  ShingleSet set;
  set.reserve(hashes.size() - width + 1);
  for (size_t i = 0; i + width <= hashes.size(); ++i)
    set.push_back(Hash(&hashes[i], width * sizeof(uint64_t)));
  SortUnique(set);
  return set;
}

ShingleSet CharShingles(std::string_view normalised, int n) {
  const std::vector<std::string_view> words = Words(normalised);
  if (words.empty()) return {};
  const std::string text = " " + JoinWords(words) + " ";
  const std::vector<int32_t> at = Boundaries(text);
  const size_t points = at.size() - 1;
  const size_t width = std::min(points, static_cast<size_t>(n));
  ShingleSet set;
  set.reserve(points - width + 1);
  for (size_t i = 0; i + width <= points; ++i)
    set.push_back(Hash(text.data() + at[i], at[i + width] - at[i]));
  SortUnique(set);
  return set;
}

double Jaccard(const ShingleSet& a, const ShingleSet& b) {
  size_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint64_t left = a[i];
    const uint64_t right = b[j];
    common += left == right;
    i += left <= right;
    j += right <= left;
  }
  const size_t all = a.size() + b.size() - common;
  return all == 0 ? 1 : static_cast<double>(common) / static_cast<double>(all);
}

}  // namespace crossover::curation
