#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/leaf.h"
#include "common/dataset/merkle.h"
#include "common/dataset/shard.h"
#include "common/dataset/shard_format.h"
#include "common/dataset/zstd_file.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::dataset {

class ShardReader::Impl {
 public:
  Impl(std::filesystem::path folder, Options options, ShardIndex index)
      : folder_(std::move(folder)), options_(std::move(options)), index_(std::move(index)) {}

  absl::StatusOr<std::optional<std::string_view>> NextLeaf() {
    while (true) {
      if (reader_ == nullptr) {
        if (shard_ == index_.shards.size()) return std::optional<std::string_view>();
        ASSIGN_OR_RETURN(reader_,
                         internal::ZstdLineReader::Open(folder_ / index_.shards[shard_].path));
        line_ = 0;
      }
      ASSIGN_OR_RETURN(const bool more, reader_->Next(buffer_));
      if (more) {
        ++line_;
        return std::optional<std::string_view>(buffer_);
      }
      const ShardInfo& shard = index_.shards[shard_];
      if (line_ != shard.rows) {
        return Corrupt(absl::StrCat("has ", line_, " rows, and dataset.json says ", shard.rows));
      }
      reader_.reset();
      ++shard_;
    }
  }

  absl::StatusOr<std::optional<Row>> Next() {
    while (true) {
      ASSIGN_OR_RETURN(const std::optional<std::string_view> leaf, NextLeaf());
      if (!leaf.has_value()) return std::optional<Row>();
      absl::StatusOr<Row> row = ParseLeaf(*leaf);
      if (!row.ok()) return Corrupt(absl::StrCat("line ", line_, ": ", row.status().message()));
      if (options_.split.empty() || row->split == options_.split)
        return std::optional<Row>(*std::move(row));
    }
  }

  const ShardIndex& index() const { return index_; }

 private:
  absl::Status Corrupt(const std::string& what) const {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat((folder_ / index_.shards[shard_].path).string(), " ", what));
  }

  const std::filesystem::path folder_;
  const Options options_;
  const ShardIndex index_;
  std::unique_ptr<internal::ZstdLineReader> reader_;
  size_t shard_ = 0;
  int64_t line_ = 0;
  std::string buffer_;
};

ShardReader::ShardReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ShardReader::~ShardReader() = default;

absl::StatusOr<ShardIndex> ReadShardIndex(const std::filesystem::path& folder) {
  std::ifstream file(folder / internal::kIndexFile, std::ios::binary);
  if (!file) {
    return Error(absl::StatusCode::kNotFound, "BLOB_NOT_FOUND",
                 absl::StrCat(folder.string(), " holds no dataset.json: not a sealed data set"));
  }
  std::ostringstream text;
  text << file.rdbuf();
  return internal::ShardIndexFromJson(text.str());
}

absl::StatusOr<std::unique_ptr<ShardReader>> ShardReader::Open(std::filesystem::path folder,
                                                               Options options) {
  ASSIGN_OR_RETURN(ShardIndex index, ReadShardIndex(folder));
  return std::unique_ptr<ShardReader>(new ShardReader(
      std::make_unique<Impl>(std::move(folder), std::move(options), std::move(index))));
}

absl::StatusOr<std::optional<Row>> ShardReader::Next() { return impl_->Next(); }
absl::StatusOr<std::optional<std::string_view>> ShardReader::NextLeaf() {
  return impl_->NextLeaf();
}
const ShardIndex& ShardReader::index() const { return impl_->index(); }

absl::StatusOr<std::vector<Row>> ReadRows(const std::filesystem::path& folder,
                                          const std::string& split) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ShardReader> reader,
                   ShardReader::Open(folder, {.split = split}));
  std::vector<Row> rows;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<Row> row, reader->Next());
    if (!row.has_value()) return rows;
    rows.push_back(*std::move(row));
  }
}

absl::Status VerifyShards(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ShardReader> reader, ShardReader::Open(folder, {}));
  MerkleTree merkle;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<std::string_view> leaf, reader->NextLeaf());
    if (!leaf.has_value()) break;
    merkle.Add(*leaf);
  }
  if (merkle.RootDigest() == reader->index().merkle_root) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat(folder.string(), ": rows have Merkle root ", merkle.RootDigest(),
                            ", dataset.json says ", reader->index().merkle_root));
}

}  // namespace crossover::dataset
