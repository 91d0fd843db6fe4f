// Byte-pair merging: bytes of one piece to token ids.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

namespace crossover::llm {

// Starts from single bytes and merges, again and again, the adjacent pair of lowest rank, the
// leftmost on a tie (Sennrich et al. 2016 as in huggingface/tokenizers, models/bpe). O(n log n) in
// the piece's length. Thread-safe; results of short pieces are kept in a bounded cache.
class Bpe {
 public:
  struct Vocabulary {
    // Entry of each id as written in the vocabulary: in the byte alphabet (byte_level.h) or, with
    // `characters`, as plain text. Added tokens have "" here.
    std::vector<std::string> tokens;
    // "left right" parts in rank order.
    std::vector<std::pair<std::string, std::string>> merges;
    // A piece that is an entry as a whole is that entry, whatever the merges say.
    bool ignore_merges = false;
    // Stands for a byte that has no entry; -1: such a byte is dropped.
    int32_t unknown_id = -1;
    bool fuse_unknown = false;
    // As SentencePiece: starts from characters instead of bytes. One without an entry becomes its
    // bytes "<0xNN>" where all of them have entries, and is unknown otherwise.
    bool characters = false;
  };

  // InvalidArgument FORMAT_INVALID for a merge whose parts or result are no entries.
  static absl::StatusOr<std::unique_ptr<Bpe>> Create(Vocabulary vocabulary);
  ~Bpe();

  // Appends the ids of `piece` (raw bytes).
  void Encode(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };
  class Cache;

  Bpe();
  void Start(std::string_view piece, std::vector<int32_t>& ids) const;
  void StartFromCharacters(std::string_view piece, std::vector<int32_t>& ids) const;
  void PushUnknown(std::vector<int32_t>& ids) const;
  void MergeAll(std::vector<int32_t>& ids) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;

  std::array<int32_t, 256> id_of_byte_;
  absl::flat_hash_map<uint64_t, Merge> merges_;
  absl::flat_hash_map<std::string, int32_t>
      whole_;  // Raw bytes to id; filled only for ignore_merges.
  bool from_characters_ = false;
  absl::flat_hash_map<std::string, int32_t> id_of_character_;  // Filled only with `characters`.
  int32_t unknown_id_ = -1;
  bool fuse_unknown_ = false;
  std::unique_ptr<Cache> cache_;
};

}  // namespace crossover::llm
