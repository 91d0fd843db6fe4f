// Finds texts that are nearly equal: MinHash proposes, the exact Jaccard similarity decides.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "services/data_curation/domain/minhash.h"
#include "services/data_curation/domain/shingle.h"

namespace crossover::curation {

struct SimilarityOptions {
  enum class Kind { kAuto, kWord, kChar };
  double threshold = 0.8;
  // kAuto: word shingles from `min_words` words on, character shingles below. Texts a little above
  // the border get both, so that a pair on its two sides is not missed.
  Kind kind = Kind::kAuto;
  int word_n = 5;
  int char_n = 5;
  int min_words = 20;
};

// A text made ready to be compared: one part, or two near the border between kinds.
struct PreparedText {
  struct Part {
    bool by_word = false;
    ShingleSet shingles;
    BandHashes bands;
  };
  std::vector<Part> parts;  // none for a text without words
};

// Texts one after another, each compared with those before it that were kept. Not thread-safe, but
// for Prepare. Memory: 160 to 480 bytes a kept text, and a bounded cache of shingle sets; texts
// themselves are asked for again.
class SimilarityIndex {
 public:
  struct Match {
    int64_t id = 0;
    double similarity = 0;
  };

  // `text_of` gives the text of an id that was kept.
  SimilarityIndex(SimilarityOptions options, std::function<std::string(int64_t)> text_of);

  PreparedText Prepare(const std::string& text) const;

  // Kept texts whose Jaccard similarity to `text` is at least the threshold, by id; every one
  // verified. At 0.8 a pair is missed with probability .002. A text without words matches nothing.
  std::vector<Match> Find(const PreparedText& text);

  // Keeps the text under `id`, so that later ones find it. `text_of(id)` must give the same text.
  void Keep(int64_t id, const PreparedText& text);

 private:
  // One kind of shingle.
  struct Half {
    absl::flat_hash_map<uint64_t, std::vector<int64_t>> buckets;  // band hash -> kept texts
    absl::flat_hash_map<int64_t, ShingleSet> cache;
    size_t cached = 0;  // shingles in the cache
  };
  Half& HalfOf(bool by_word) { return by_word ? words_ : chars_; }
  ShingleSet ShinglesOf(const std::string& normalised, bool by_word) const;
  const ShingleSet& CachedShingles(int64_t id, bool by_word);

  const SimilarityOptions options_;
  const std::function<std::string(int64_t)> text_of_;
  const MinHasher hasher_;
  Half words_;
  Half chars_;
};

}  // namespace crossover::curation
