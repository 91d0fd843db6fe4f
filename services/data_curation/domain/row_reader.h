// Rows of a run or of a sealed version, for people and tools that look at some of them.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "common/list/filter.h"
#include "services/data_curation/domain/curation_store.h"

namespace crossover::curation {

// A row with what stages said about it.
struct RowView {
  dataset::Row row;
  std::string row_digest;
  std::string input_digest;
  std::string drop_reason;
  std::vector<Flag> flags;
};

// Fields a filter may use.
const std::vector<std::string>& RowFilterFields();
bool MatchesRow(const list::Filter& filter, const RowView& row);

enum class RowOrder { kDigest, kLine };

// Thread-safe. Borrows everything.
class RowReader {
 public:
  // Versions are laid out below `scratch`, once each.
  RowReader(BlobStore& blobs, std::filesystem::path scratch)
      : blobs_(blobs), scratch_(std::move(scratch)) {}

  // Calls `visit(position, row)` for each row from `position` on, until it returns false. Positions
  // are 0, 1, … in the order.
  using Visit = std::function<absl::StatusOr<bool>(int64_t position, const RowView& row)>;
  absl::Status ForEachRow(const RunRecord& run, RowOrder order, int64_t position,
                          const Visit& visit);
  // Always by row_digest.
  absl::Status ForEachRow(const VersionRecord& version, int64_t position, const Visit& visit);

  // A folder with the shards of a version, for ShardReader.
  absl::StatusOr<std::filesystem::path> FolderOf(const VersionRecord& version);

 private:
  BlobStore& blobs_;
  const std::filesystem::path scratch_;
};

struct RowChangeBetween {
  enum class Kind { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kAdded;
  std::string row_digest;
  std::string old_split;
  std::string new_split;
};

// Rows that differ between two versions, by row_digest.
absl::StatusOr<std::vector<RowChangeBetween>> DiffVersions(RowReader& reader,
                                                           const VersionRecord& older,
                                                           const VersionRecord& newer);

}  // namespace crossover::curation
