#include "services/data_curation/domain/similarity.h"

#include <algorithm>
#include <map>
#include <utility>

#include "services/data_curation/domain/text.h"

namespace crossover::curation {
namespace {

// Texts with up to half as many words again as the border are indexed both ways.
bool NearBorder(size_t words, int min_words) {
  return words < static_cast<size_t>(min_words) * 3 / 2;
}

constexpr size_t kCacheShingles = size_t{32} << 20;  // 256 MiB

}  // namespace

SimilarityIndex::SimilarityIndex(SimilarityOptions options,
                                 std::function<std::string(int64_t)> text_of)
    : options_(options), text_of_(std::move(text_of)) {}

ShingleSet SimilarityIndex::ShinglesOf(const std::string& normalised, bool by_word) const {
  return by_word ? WordShingles(normalised, options_.word_n)
                 : CharShingles(normalised, options_.char_n);
}

PreparedText SimilarityIndex::Prepare(const std::string& text) const {
  using Kind = SimilarityOptions::Kind;
  const std::string normalised = Normalise(text);
  const size_t words = options_.kind == Kind::kAuto ? Words(normalised).size() : 0;
  const bool is_long = words >= static_cast<size_t>(options_.min_words);
  const bool by_word = options_.kind == Kind::kWord || (options_.kind == Kind::kAuto && is_long);
  const bool by_char = options_.kind == Kind::kChar ||
                       (options_.kind == Kind::kAuto && NearBorder(words, options_.min_words));
  PreparedText prepared;
  for (const bool kind : {true, false}) {
    if (!(kind ? by_word : by_char)) continue;
    ShingleSet set = ShinglesOf(normalised, kind);
    if (set.empty()) continue;
    const BandHashes bands = Bands(hasher_.Sign(set));
    prepared.parts.push_back({kind, std::move(set), bands});
  }
  return prepared;
}

const ShingleSet& SimilarityIndex::CachedShingles(int64_t id, bool by_word) {
  Half& half = HalfOf(by_word);
  const auto known = half.cache.find(id);
  if (known != half.cache.end()) return known->second;
  if (half.cached > kCacheShingles) {
    half.cache.clear();
    half.cached = 0;
  }
  const auto added = half.cache.emplace(id, ShinglesOf(Normalise(text_of_(id)), by_word)).first;
  half.cached += added->second.size();
  return added->second;
}

std::vector<SimilarityIndex::Match> SimilarityIndex::Find(const PreparedText& text) {
  std::map<int64_t, double> found;
  for (const PreparedText::Part& part : text.parts) {
    Half& half = HalfOf(part.by_word);
    std::vector<int64_t> candidates;
    for (uint64_t band : part.bands) {
      const auto bucket = half.buckets.find(band);
      if (bucket == half.buckets.end()) continue;
      candidates.insert(candidates.end(), bucket->second.begin(), bucket->second.end());
    }
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    for (int64_t id : candidates) {
      const double similarity = Jaccard(part.shingles, CachedShingles(id, part.by_word));
      if (similarity >= options_.threshold) found[id] = std::max(found[id], similarity);
    }
  }
  std::vector<Match> matches;
  for (const auto& [id, similarity] : found) matches.push_back({id, similarity});
  return matches;
}

void SimilarityIndex::Keep(int64_t id, const PreparedText& text) {
  for (const PreparedText::Part& part : text.parts) {
    for (uint64_t band : part.bands) HalfOf(part.by_word).buckets[band].push_back(id);
  }
}

}  // namespace crossover::curation
