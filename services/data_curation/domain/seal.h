// Makes an immutable, hashed version from the kept rows of a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/blob/blob_store.h"
#include "services/data_curation/domain/row_state.h"
#include "services/data_curation/domain/row_table.h"

namespace crossover::curation {

// Where rows came from. Part of a version's digest.
struct Source {
  std::string uri;
  std::string digest;
  std::string licence;

  auto operator<=>(const Source&) const = default;
};

struct SplitCounts {
  std::string split;
  int64_t rows = 0;
  int64_t clusters = 0;
  int64_t characters = 0;

  bool operator==(const SplitCounts&) const = default;
};

// Rows that must never come back: by digest, or all of a user or source.
struct Tombstones {
  std::set<std::string> row_digests;
  std::set<std::string> subjects;

  bool Hits(const std::string& row_digest, const dataset::Row& row) const;
};

// Where a row lies in the shards of a version.
struct SealedRow {
  std::string row_digest;
  std::string split;
  int32_t shard = 0;
  int64_t offset = 0;
};

struct SealedRows {
  std::string merkle_root;
  std::string artifact_digest;
  std::vector<SplitCounts> counts;  // splits that have rows, train first
  int64_t clusters = 0;
  int64_t tombstones_applied = 0;  // rows that a tombstone kept out
  int64_t size_bytes = 0;          // of all shards, uncompressed
  std::vector<SealedRow> rows;     // by row_digest
};

// Writes the kept rows, sorted by row_digest, into shards and the blob store. `scratch` is a folder
// for temporary files. FailedPrecondition TOO_FEW_ROWS if nothing is left.
absl::StatusOr<SealedRows> SealRows(const RowTable& rows, const RowStates& states,
                                    const Tombstones& tombstones, BlobStore& blobs,
                                    const std::filesystem::path& scratch);

// `sha256:…` over RFC 8785 {licence, merkle_root, recipe_digest, sources[] sorted}.
absl::StatusOr<std::string> VersionDigest(const std::string& merkle_root,
                                          const std::string& recipe_digest,
                                          std::vector<Source> sources, const std::string& licence);

}  // namespace crossover::curation
