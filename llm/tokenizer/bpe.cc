#include "llm/tokenizer/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "llm/tokenizer/byte_level.h"
#include "llm/tokenizer/utf8.h"

namespace crossover::llm {
namespace {

constexpr size_t kMaxCachedPiece = 64;

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

absl::Status BadMerge(size_t rank, const std::string& left, const std::string& right,
                      std::string_view problem) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat("merge ", rank, " ('", left, "' + '", right, "'): ", ToAbsl(problem)));
}

}  // namespace

// Sharded so that threads seldom meet. A full shard stays as it is: common words come early.
class Bpe::Cache {
 public:
  bool Find(std::string_view piece, std::vector<int32_t>& ids) {
    Shard& shard = ShardOf(piece);
    absl::ReaderMutexLock lock(&shard.mutex);
    const auto found = shard.entries.find(ToAbsl(piece));
    if (found == shard.entries.end()) return false;
    ids.insert(ids.end(), found->second.begin(), found->second.end());
    return true;
  }

  void Add(std::string_view piece, std::vector<int32_t> ids) {
    Shard& shard = ShardOf(piece);
    absl::MutexLock lock(&shard.mutex);
    if (shard.entries.size() < kEntriesPerShard) {
      shard.entries.emplace(std::string(piece), std::move(ids));
    }
  }

 private:
  static constexpr size_t kShards = 16;
  static constexpr size_t kEntriesPerShard = 4096;

  struct Shard {
    absl::Mutex mutex;
    absl::flat_hash_map<std::string, std::vector<int32_t>> entries ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(std::string_view piece) {
    return shards_[std::hash<std::string_view>()(piece) % kShards];
  }

  std::array<Shard, kShards> shards_;
};

Bpe::Bpe() : cache_(std::make_unique<Cache>()) { id_of_byte_.fill(-1); }
Bpe::~Bpe() = default;

absl::StatusOr<std::unique_ptr<Bpe>> Bpe::Create(Vocabulary vocabulary) {
  absl::flat_hash_map<std::string, int32_t> ids;
  ids.reserve(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!vocabulary.tokens[id].empty()) {
      ids.emplace(vocabulary.tokens[id], static_cast<int32_t>(id));
    }
  }
  std::unique_ptr<Bpe> bpe(new Bpe);
  bpe->unknown_id_ = vocabulary.unknown_id;
  bpe->fuse_unknown_ = vocabulary.fuse_unknown;
  bpe->from_characters_ = vocabulary.characters;
  if (vocabulary.characters) {
    for (const auto& [token, id] : ids) {
      if (NextUtf8(token).bytes == token.size()) bpe->id_of_character_.emplace(token, id);
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto found =
        ids.find(vocabulary.characters ? absl::StrFormat("<0x%02X>", byte)
                                       : std::string(CharOfByte(static_cast<uint8_t>(byte))));
    if (found != ids.end()) bpe->id_of_byte_[byte] = found->second;
  }
  bpe->merges_.reserve(vocabulary.merges.size());
  for (size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const auto& [left, right] = vocabulary.merges[rank];
    const auto left_id = ids.find(left);
    const auto right_id = ids.find(right);
    const auto merged_id = ids.find(left + right);
    if (left_id == ids.end() || right_id == ids.end()) {
      return BadMerge(rank, left, right, "a part is not in the vocabulary");
    }
    if (merged_id == ids.end()) {
      return BadMerge(rank, left, right, "the result is not in the vocabulary");
    }
    bpe->merges_.emplace(PairKey(left_id->second, right_id->second),
                         Merge{static_cast<int32_t>(rank), merged_id->second});
  }
  if (vocabulary.ignore_merges) {
    for (const auto& [token, id] : ids) {
      if (auto bytes = BytesOfToken(token)) bpe->whole_.emplace(*std::move(bytes), id);
    }
  }
  return bpe;
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::Encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  if (!from_characters_ && piece.size() == 1 && id_of_byte_[static_cast<uint8_t>(piece[0])] >= 0) {
    ids.push_back(id_of_byte_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  const bool cacheable = piece.size() <= kMaxCachedPiece;
  if (cacheable && cache_->Find(piece, ids)) return;
  std::vector<int32_t> result;
  const auto whole = whole_.find(ToAbsl(piece));
  if (whole != whole_.end()) {
    result.push_back(whole->second);
  } else {
    from_characters_ ? StartFromCharacters(piece, result) : Start(piece, result);
    MergeAll(result);
  }
  ids.insert(ids.end(), result.begin(), result.end());
  if (cacheable) cache_->Add(piece, std::move(result));
}

void Bpe::Start(std::string_view piece, std::vector<int32_t>& ids) const {
  ids.reserve(piece.size());
  for (const char c : piece) {
    const int32_t id = id_of_byte_[static_cast<uint8_t>(c)];
    if (id >= 0) {
      ids.push_back(id);
    } else {
      PushUnknown(ids);
    }
  }
}

void Bpe::PushUnknown(std::vector<int32_t>& ids) const {
  if (unknown_id_ < 0) return;
  if (fuse_unknown_ && !ids.empty() && ids.back() == unknown_id_) return;
  ids.push_back(unknown_id_);
}

void Bpe::StartFromCharacters(std::string_view piece, std::vector<int32_t>& ids) const {
  ids.reserve(piece.size());
  const auto has_byte = [&](char c) { return id_of_byte_[static_cast<uint8_t>(c)] >= 0; };
  while (!piece.empty()) {
    const std::string_view character = piece.substr(0, NextUtf8(piece).bytes);
    piece.remove_prefix(character.size());
    const auto found = id_of_character_.find(ToAbsl(character));
    if (found != id_of_character_.end()) {
      ids.push_back(found->second);
    } else if (std::all_of(character.begin(), character.end(), has_byte)) {
      for (const char c : character) ids.push_back(id_of_byte_[static_cast<uint8_t>(c)]);
    } else {
      PushUnknown(ids);
    }
  }
}

// A doubly linked list of symbols over a heap of candidate merges. A candidate is stale when one of
// its two symbols has changed since; it is recognised by its ids.
void Bpe::MergeAll(std::vector<int32_t>& ids) const {
  const int32_t count = static_cast<int32_t>(ids.size());
  std::vector<int32_t> previous(count), next(count);
  for (int32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;
    next[i] = i + 1 < count ? i + 1 : -1;
  }
  struct Candidate {
    int32_t rank;
    int32_t left;
    int32_t left_id;
    int32_t right_id;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](int32_t left) {
    if (left < 0 || next[left] < 0) return;
    const int32_t right = next[left];
    if (const Merge* merge = FindMerge(ids[left], ids[right])) {
      candidates.push({merge->rank, left, ids[left], ids[right], merge->id});
    }
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    const int32_t right = next[best.left];
    if (right < 0 || ids[best.left] != best.left_id || ids[right] != best.right_id) continue;
    ids[best.left] = best.id;
    ids[right] = -1;
    next[best.left] = next[right];
    if (next[right] >= 0) previous[next[right]] = best.left;
    consider(previous[best.left]);
    consider(best.left);
  }
  std::erase(ids, -1);
}

}  // namespace crossover::llm
