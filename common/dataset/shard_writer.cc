#include <system_error>
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

class ShardWriter::Impl {
 public:
  Impl(std::filesystem::path folder, int64_t shard_bytes)
      : folder_(std::move(folder)), shard_bytes_(shard_bytes) {}

  absl::StatusOr<RowPlace> Add(const Row& row, const std::string& row_digest) {
    if (row_digest < last_digest_) {
      return Error(absl::StatusCode::kFailedPrecondition, "SHARD_ORDER",
                   absl::StrCat("row ", row_digest, " came after ", last_digest_,
                                ": rows must come in order of digest"));
    }
    ASSIGN_OR_RETURN(std::string line, LeafBytes(row));
    merkle_.Add(line);
    line += '\n';
    RETURN_IF_ERROR(MakeRoom(static_cast<int64_t>(line.size())));
    ShardInfo& shard = index_.shards.back();
    const RowPlace place{static_cast<int32_t>(index_.shards.size() - 1), shard.bytes};
    RETURN_IF_ERROR(writer_->Write(line));
    shard.bytes += static_cast<int64_t>(line.size());
    ++shard.rows;
    ++index_.rows;
    ++index_.splits[row.split];
    last_digest_ = row_digest;
    return place;
  }

  absl::StatusOr<ShardIndex> Finish() {
    RETURN_IF_ERROR(CloseShard());
    index_.merkle_root = merkle_.RootDigest();
    ASSIGN_OR_RETURN(const std::string json, internal::ShardIndexToJson(index_));
    RETURN_IF_ERROR(internal::WriteFileSynced(folder_ / internal::kIndexFile, json));
    return index_;
  }

 private:
  // Opens the next shard when the line doesn't fit any more; a line longer than a shard gets one of
  // its own.
  absl::Status MakeRoom(int64_t bytes) {
    const bool fits = writer_ != nullptr && index_.shards.back().bytes + bytes <= shard_bytes_;
    if (fits) return absl::OkStatus();
    RETURN_IF_ERROR(CloseShard());
    const std::string name = internal::ShardName(index_.shards.size());
    ASSIGN_OR_RETURN(writer_, internal::ZstdWriter::Create(folder_ / name));
    index_.shards.push_back({.path = name});
    return absl::OkStatus();
  }

  absl::Status CloseShard() {
    if (writer_ == nullptr) return absl::OkStatus();
    const std::unique_ptr<internal::ZstdWriter> done = std::move(writer_);
    return done->Close();
  }

  const std::filesystem::path folder_;
  const int64_t shard_bytes_;
  std::unique_ptr<internal::ZstdWriter> writer_;
  ShardIndex index_;
  MerkleTree merkle_;
  std::string last_digest_;
};

ShardWriter::ShardWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ShardWriter::~ShardWriter() = default;

absl::StatusOr<std::unique_ptr<ShardWriter>> ShardWriter::Create(std::filesystem::path folder,
                                                                 int64_t shard_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return Error(absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED",
                 absl::StrCat("cannot create ", folder.string(), ": ", error.message()));
  }
  const bool empty = std::filesystem::is_empty(folder, error);
  if (error || !empty) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "FOLDER_NOT_EMPTY",
        absl::StrCat(folder.string(), " is not empty: shards go into a folder of their own"));
  }
  return std::unique_ptr<ShardWriter>(
      new ShardWriter(std::make_unique<Impl>(std::move(folder), shard_bytes)));
}

absl::StatusOr<RowPlace> ShardWriter::Add(const Row& row, const std::string& row_digest) {
  return impl_->Add(row, row_digest);
}
absl::StatusOr<ShardIndex> ShardWriter::Finish() { return impl_->Finish(); }

}  // namespace crossover::dataset
