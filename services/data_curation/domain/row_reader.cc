#include "services/data_curation/domain/row_reader.h"

#include <algorithm>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/leaf.h"
#include "common/dataset/shard.h"
#include "common/id/random.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/domain/run_manager.h"

namespace crossover::curation {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> Present(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> FieldOf(const RowView& view, const std::string& field) {
  if (field == "split") return Present(view.row.split);
  if (field == "drop_reason") return Present(view.drop_reason);
  if (field == "cluster") return Present(view.row.cluster);
  if (field == "row_digest") return view.row_digest;
  if (field == "language") return Present(view.row.language);
  if (field == "origin.kind") return view.row.origin.kind;
  if (field == "origin.line") return absl::StrCat(view.row.origin.line);
  if (field == "group.source") return Present(view.row.group.source);
  return std::nullopt;
}

absl::StatusOr<RowView> ViewOf(dataset::Row row) {
  RowView view;
  ASSIGN_OR_RETURN(view.row_digest, dataset::RowDigest(row));
  ASSIGN_OR_RETURN(view.input_digest, dataset::InputDigest(row));
  view.row = std::move(row);
  return view;
}

}  // namespace

const std::vector<std::string>& RowFilterFields() {
  static const std::vector<std::string> fields = {"split",       "drop_reason", "flags.code",
                                                  "cluster",     "row_digest",  "language",
                                                  "origin.kind", "origin.line", "group.source"};
  return fields;
}

bool MatchesRow(const list::Filter& filter, const RowView& view) {
  return std::all_of(filter.begin(), filter.end(), [&view](const list::Condition& condition) {
    if (condition.field != "flags.code") {
      return list::Matches({condition},
                           [&view](const std::string& field) { return FieldOf(view, field); });
    }
    // Any of the flags may match; `!=` means that none has the code.
    const bool negated = condition.op == list::Condition::Op::kNotEqual;
    const bool any = std::any_of(view.flags.begin(), view.flags.end(), [&](const Flag& flag) {
      return (condition.op == list::Condition::Op::kHas && condition.value == "*") ||
             flag.code == condition.value;
    });
    return any != negated;
  });
}

absl::Status RowReader::ForEachRow(const RunRecord& run, RowOrder order, int64_t position,
                                   const Visit& visit) {
  ASSIGN_OR_RETURN(const RunRows opened, OpenRun(blobs_, run));
  std::vector<int64_t> indices(opened.rows->size());
  std::iota(indices.begin(), indices.end(), 0);
  if (order == RowOrder::kDigest) {
    std::stable_sort(indices.begin(), indices.end(), [&](int64_t a, int64_t b) {
      return opened.rows->RowDigest(a) < opened.rows->RowDigest(b);
    });
  }
  for (int64_t at = position; at < static_cast<int64_t>(indices.size()); ++at) {
    const int64_t i = indices[at];
    RowView view;
    ASSIGN_OR_RETURN(view.row, opened.rows->Get(i));
    view.row_digest = ToDigest(opened.rows->RowDigest(i));
    view.input_digest = ToDigest(opened.rows->InputDigest(i));
    view.row.split = opened.states[i].split;
    view.row.cluster = opened.states[i].cluster;
    view.drop_reason = opened.states[i].drop_reason;
    view.flags = opened.states[i].flags;
    ASSIGN_OR_RETURN(const bool more, visit(at, view));
    if (!more) return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::StatusOr<fs::path> RowReader::FolderOf(const VersionRecord& version) {
  const fs::path folder = scratch_ / "versions" / version.artifact_digest.substr(7);
  std::error_code error;
  if (fs::exists(folder / "dataset.json", error)) return folder;
  fs::create_directories(folder.parent_path(), error);
  if (error) {
    return Error(
        absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED",
        absl::StrCat("cannot create ", folder.parent_path().string(), ": ", error.message()));
  }
  const absl::Status laid_out = blobs_.Materialise(version.artifact_digest, folder);
  // Another call may have been faster.
  if (laid_out.ok() || fs::exists(folder / "dataset.json", error)) return folder;
  return laid_out;
}

absl::Status RowReader::ForEachRow(const VersionRecord& version, int64_t position,
                                   const Visit& visit) {
  ASSIGN_OR_RETURN(const fs::path folder, FolderOf(version));
  ASSIGN_OR_RETURN(const std::unique_ptr<dataset::ShardReader> reader,
                   dataset::ShardReader::Open(folder, {}));
  for (int64_t at = 0;; ++at) {
    ASSIGN_OR_RETURN(const std::optional<std::string_view> leaf, reader->NextLeaf());
    if (!leaf.has_value()) return absl::OkStatus();
    if (at < position) continue;
    ASSIGN_OR_RETURN(dataset::Row row, dataset::ParseLeaf(*leaf));
    ASSIGN_OR_RETURN(const RowView view, ViewOf(std::move(row)));
    ASSIGN_OR_RETURN(const bool more, visit(at, view));
    if (!more) return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<RowChangeBetween>> DiffVersions(RowReader& reader,
                                                           const VersionRecord& older,
                                                           const VersionRecord& newer) {
  struct Leaf {
    std::string split;
    std::string bytes;
  };
  std::map<std::string, Leaf> before;
  RETURN_IF_ERROR(
      reader.ForEachRow(older, 0, [&](int64_t, const RowView& view) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(std::string bytes, dataset::LeafBytes(view.row));
        before[view.row_digest] = {view.row.split, DigestOf(bytes)};
        return true;
      }));
  std::vector<RowChangeBetween> changes;
  using Kind = RowChangeBetween::Kind;
  RETURN_IF_ERROR(
      reader.ForEachRow(newer, 0, [&](int64_t, const RowView& view) -> absl::StatusOr<bool> {
        const auto old = before.find(view.row_digest);
        if (old == before.end()) {
          changes.push_back({Kind::kAdded, view.row_digest, "", view.row.split});
          return true;
        }
        ASSIGN_OR_RETURN(const std::string bytes, dataset::LeafBytes(view.row));
        if (DigestOf(bytes) != old->second.bytes) {
          changes.push_back({Kind::kChanged, view.row_digest, old->second.split, view.row.split});
        }
        before.erase(old);
        return true;
      }));
  for (const auto& [digest, leaf] : before)
    changes.push_back({Kind::kRemoved, digest, leaf.split, ""});
  std::sort(changes.begin(), changes.end(),
            [](const RowChangeBetween& a, const RowChangeBetween& b) {
              return a.row_digest < b.row_digest;
            });
  return changes;
}

}  // namespace crossover::curation
