#include "services/data_curation/domain/seal.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_set.h"
#include "common/dataset/shard.h"
#include "common/id/random.h"
#include "common/json/canonical.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::curation {
namespace {

namespace fs = std::filesystem;

// Counts rows, characters and distinct clusters of one split. A row without cluster is one of its
// own.
class Counter {
 public:
  void Add(const dataset::Row& row) {
    ++counts_.rows;
    if (row.cluster.empty() || clusters_.insert(row.cluster).second) ++counts_.clusters;
    for (const dataset::Message& message : row.messages) {
      const std::string text = dataset::TextOf(message);
      // Code points: bytes that do not continue one.
      counts_.characters +=
          std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
    }
  }

  SplitCounts Counts(std::string split) const {
    SplitCounts counts = counts_;
    counts.split = std::move(split);
    return counts;
  }

 private:
  SplitCounts counts_;
  absl::flat_hash_set<std::string> clusters_;
};

std::vector<int64_t> KeptInOrder(const RowTable& rows, const RowStates& states) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < rows.size(); ++i) {
    if (states[i].kept()) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&rows](int64_t a, int64_t b) { return rows.RowDigest(a) < rows.RowDigest(b); });
  return order;
}

}  // namespace

bool Tombstones::Hits(const std::string& row_digest, const dataset::Row& row) const {
  if (row_digests.contains(row_digest)) return true;
  for (const std::string* subject : {&row.group.user, &row.group.source, &row.group.conversation}) {
    if (!subject->empty() && subjects.contains(*subject)) return true;
  }
  return false;
}

absl::StatusOr<SealedRows> SealRows(const RowTable& rows, const RowStates& states,
                                    const Tombstones& tombstones, BlobStore& blobs,
                                    const fs::path& scratch) {
  const fs::path folder = scratch / ("seal-" + SystemRandom().Hex(8));
  const auto remove = absl::MakeCleanup([&folder] {
    std::error_code
        ignored;  // a left-over scratch folder costs space only, and is emptied at the next start
    fs::remove_all(folder, ignored);
  });
  ASSIGN_OR_RETURN(const std::unique_ptr<dataset::ShardWriter> writer,
                   dataset::ShardWriter::Create(folder));
  SealedRows sealed;
  std::map<std::string, Counter> counters;
  for (int64_t i : KeptInOrder(rows, states)) {
    ASSIGN_OR_RETURN(dataset::Row row, rows.Get(i));
    const std::string digest = ToDigest(rows.RowDigest(i));
    if (tombstones.Hits(digest, row)) {
      ++sealed.tombstones_applied;
      continue;
    }
    row.split = states[i].split;
    row.cluster = states[i].cluster;
    ASSIGN_OR_RETURN(const dataset::RowPlace place, writer->Add(row, digest));
    sealed.rows.push_back({digest, row.split, place.shard, place.offset});
    counters[row.split].Add(row);
  }
  if (sealed.rows.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "TOO_FEW_ROWS",
                 "no row is left to seal: all were dropped or forgotten");
  }
  ASSIGN_OR_RETURN(const dataset::ShardIndex index, writer->Finish());
  sealed.merkle_root = index.merkle_root;
  for (const dataset::ShardInfo& shard : index.shards) sealed.size_bytes += shard.bytes;
  for (std::string_view split : {dataset::kTrain, dataset::kValidation, dataset::kTest}) {
    const auto counter = counters.find(std::string(split));
    if (counter == counters.end()) continue;
    sealed.counts.push_back(counter->second.Counts(std::string(split)));
    sealed.clusters += sealed.counts.back().clusters;
  }
  ASSIGN_OR_RETURN(sealed.artifact_digest, blobs.PutFolder("dataset", folder));
  return sealed;
}

absl::StatusOr<std::string> VersionDigest(const std::string& merkle_root,
                                          const std::string& recipe_digest,
                                          std::vector<Source> sources, const std::string& licence) {
  std::sort(sources.begin(), sources.end());
  nlohmann::json list = nlohmann::json::array();
  for (const Source& source : sources) {
    list.push_back({{"uri", source.uri}, {"digest", source.digest}, {"licence", source.licence}});
  }
  return CanonicalDigest({{"merkle_root", merkle_root},
                          {"recipe_digest", recipe_digest},
                          {"sources", std::move(list)},
                          {"licence", licence}});
}

}  // namespace crossover::curation
