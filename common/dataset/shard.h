// The rows of a sealed version as a folder: `dataset.json` and shards `rows-00000.jsonl.zst` of
// leaves (leaf.h), one a line, sorted by row_digest. The blob store keeps the folder as an artifact
// of kind `dataset`.
//
// `dataset.json`: {"format":"crossover.dataset.v1","merkle_root":…,"rows":n,"splits":{"train":n,…},
// "shards":[{"path","rows","bytes"}]} in RFC 8785 form; bytes are uncompressed.
// The compressed bytes depend on the version of zstd; the Merkle root does not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::dataset {

struct ShardInfo {
  std::string path;  // relative to the folder
  int64_t rows = 0;
  int64_t bytes = 0;  // uncompressed
};

// What dataset.json says.
struct ShardIndex {
  std::string merkle_root;
  int64_t rows = 0;
  std::map<std::string, int64_t> splits;
  std::vector<ShardInfo> shards;
};

// Where the writer put a row.
struct RowPlace {
  int32_t shard = 0;
  int64_t offset = 0;  // of the line, in uncompressed bytes of the shard
};

// Not thread-safe. Dropping a writer without Finish leaves an unfinished folder without
// dataset.json.
class ShardWriter {
 public:
  static constexpr int64_t kShardBytes = int64_t{64} << 20;

  // Creates `folder`, which must not exist or be empty.
  static absl::StatusOr<std::unique_ptr<ShardWriter>> Create(std::filesystem::path folder,
                                                             int64_t shard_bytes = kShardBytes);
  ~ShardWriter();

  // Rows come in order of row_digest (equal digests may repeat); FailedPrecondition SHARD_ORDER
  // otherwise. ResourceExhausted DISK_FULL if the disk is full.
  absl::StatusOr<RowPlace> Add(const Row& row, const std::string& row_digest);

  // Writes dataset.json and syncs everything to disk.
  absl::StatusOr<ShardIndex> Finish();

 private:
  class Impl;
  explicit ShardWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Reads dataset.json.
absl::StatusOr<ShardIndex> ReadShardIndex(const std::filesystem::path& folder);

// Streams the rows of a folder in stored order; memory does not grow with the folder. Not
// thread-safe.
class ShardReader {
 public:
  struct Options {
    std::string split;  // "" = all splits
  };

  // NotFound BLOB_NOT_FOUND if the folder has no dataset.json.
  static absl::StatusOr<std::unique_ptr<ShardReader>> Open(std::filesystem::path folder,
                                                           Options options);
  ~ShardReader();

  // The next row; nullopt at the end. DataLoss DIGEST_MISMATCH names shard and line.
  absl::StatusOr<std::optional<Row>> Next();

  // The next leaf's bytes, of every split, for verification; valid until the next call.
  absl::StatusOr<std::optional<std::string_view>> NextLeaf();

  const ShardIndex& index() const;

 private:
  class Impl;
  explicit ShardReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// All rows of one split ("" = all) at once; for data sets that fit into memory.
absl::StatusOr<std::vector<Row>> ReadRows(const std::filesystem::path& folder,
                                          const std::string& split);

// Reads every leaf and compares the Merkle root with dataset.json's. DataLoss DIGEST_MISMATCH if it
// differs.
absl::Status VerifyShards(const std::filesystem::path& folder);

}  // namespace crossover::dataset
