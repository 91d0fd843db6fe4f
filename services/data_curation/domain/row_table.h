// The rows of a run on disk: imported once, then read by every stage through the page cache, so
// that memory stays flat.
//
// A folder (artifact kind `curation-rows`): `rows.jsonl`, Crossover's own row form, one a line;
// `rows.idx`, one fixed record a row (little-endian): offset u64, length u64, row_digest 32 bytes,
// input_digest 32 bytes.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::curation {

using DigestBytes = std::array<uint8_t, 32>;

// Not thread-safe. ResourceExhausted DISK_FULL if the disk is full.
class RowTableWriter {
 public:
  // Creates `folder` and its files.
  static absl::StatusOr<std::unique_ptr<RowTableWriter>> Create(
      const std::filesystem::path& folder);
  ~RowTableWriter();

  absl::Status Add(const dataset::Row& row);
  absl::Status Finish();

 private:
  struct Impl;
  explicit RowTableWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Immutable and thread-safe.
class RowTable {
 public:
  // DataLoss DIGEST_MISMATCH if index and rows don't fit together.
  static absl::StatusOr<std::unique_ptr<RowTable>> Open(const std::filesystem::path& rows_file,
                                                        const std::filesystem::path& index_file);
  ~RowTable();

  int64_t size() const;
  // Indices are 0 … size()-1.
  absl::StatusOr<dataset::Row> Get(int64_t index) const;
  const DigestBytes& RowDigest(int64_t index) const;
  const DigestBytes& InputDigest(int64_t index) const;

 private:
  struct Impl;
  explicit RowTable(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace crossover::curation
