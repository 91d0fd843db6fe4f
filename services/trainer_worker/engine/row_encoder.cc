#include "services/trainer_worker/engine/row_encoder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/rows/samples.h"
#include "llm/rows/teacher_reader.h"

namespace crossover::worker {
namespace {

// Validation during training uses so many rows at most: it is repeated, and rows in digest order
// are a random sample.
constexpr size_t kValidationRows = 64;

// Encoded rows and, for each, its cluster (a row without one is a cluster of its own).
struct Split {
  std::vector<llm::TrainRow> rows;
  std::vector<std::string> clusters;
};

absl::StatusOr<Split> EncodeSplit(const std::filesystem::path& folder, std::string_view split,
                                  const llm::ChatTemplate& chat, const Encoding& encoding,
                                  size_t limit) {
  ASSIGN_OR_RETURN(std::unique_ptr<dataset::ShardReader> reader,
                   dataset::ShardReader::Open(folder, {.split = std::string(split)}));
  Split encoded;
  while (encoded.rows.size() < limit) {
    ASSIGN_OR_RETURN(std::optional<dataset::Row> row, reader->Next());
    if (!row.has_value()) break;
    if (row->weight == 0) continue;  // Counts for nothing.
    ASSIGN_OR_RETURN(llm::TrainRow next, EncodeRow(*row, chat, encoding));
    encoded.clusters.push_back(row->cluster.empty() ? next.id : row->cluster);
    encoded.rows.push_back(std::move(next));
  }
  return encoded;
}

// Rows drawn by seed, in their order; the others stay, in theirs. Stops at `count` rows. With
// `whole_clusters` a cluster is drawn whole, so that near-equal rows never lie on both sides; then
// the last cluster may bring more, and one that would bring twice as many as wanted is passed over
// as long as there are others.
Split Draw(Split& split, size_t count, int64_t seed, bool whole_clusters) {
  std::vector<std::vector<size_t>> groups;
  std::map<std::string, size_t> group_of;
  for (size_t i = 0; i < split.rows.size(); ++i) {
    const std::string& key = whole_clusters ? split.clusters[i] : split.rows[i].id;
    const auto [place, added] = group_of.try_emplace(key, groups.size());
    if (added) groups.emplace_back();
    groups[place->second].push_back(i);
  }
  std::mt19937_64 engine(static_cast<uint64_t>(seed));
  // Fisher-Yates by hand: what std::shuffle does differs between standard libraries.
  for (size_t i = groups.size(); i > 1; --i) std::swap(groups[i - 1], groups[engine() % i]);
  std::vector<bool> chosen(split.rows.size(), false);
  size_t drawn_rows = 0;
  for (const std::vector<size_t>& group : groups) {
    if (drawn_rows >= count) break;
    if (drawn_rows + group.size() > 2 * count) continue;
    for (const size_t i : group) chosen[i] = true;
    drawn_rows += group.size();
  }
  if (drawn_rows == 0 && count > 0 && groups.size() > 1) {  // all are large: the smallest
    const auto smallest = std::min_element(groups.begin(), groups.end(),
                                           [](auto& a, auto& b) { return a.size() < b.size(); });
    for (const size_t i : *smallest) chosen[i] = true;
  }
  Split drawn, rest;
  for (size_t i = 0; i < split.rows.size(); ++i) {
    Split& side = chosen[i] ? drawn : rest;
    side.rows.push_back(std::move(split.rows[i]));
    side.clusters.push_back(std::move(split.clusters[i]));
  }
  split = std::move(rest);
  return drawn;
}

}  // namespace

namespace {

absl::Status AddAnswer(const dataset::Row& row, const llm::ChatTemplate& chat,
                       const Encoding& encoding, llm::TrainRow& out) {
  // A preference is between last answers.
  const bool last =
      encoding.loss_on == LossOn::kLastAssistant || encoding.objective == Objective::kPreference;
  ASSIGN_OR_RETURN(
      llm::TrainingSample sample,
      llm::SampleOf(row, chat, last ? llm::TrainedTurns::kLast : llm::TrainedTurns::kAll));
  out.ids = std::move(sample.ids);
  out.token_weights = std::move(sample.weights);
  if (encoding.objective == Objective::kPreference) {
    ASSIGN_OR_RETURN(llm::TrainingSample rejected, llm::RejectedSampleOf(row, chat));
    out.rejected_ids = std::move(rejected.ids);
    out.rejected_weights = std::move(rejected.weights);
    return absl::OkStatus();
  }
  if (encoding.teacher != nullptr) RETURN_IF_ERROR(encoding.teacher->Read(row.logprobs, out));
  if (encoding.loss_on == LossOn::kAllTokens) {
    std::fill(out.token_weights.begin() + 1, out.token_weights.end(), 1.0F);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<llm::TrainRow> EncodeRow(const dataset::Row& row, const llm::ChatTemplate& chat,
                                        const Encoding& encoding) {
  llm::TrainRow out;
  ASSIGN_OR_RETURN(out.id, dataset::RowDigest(row));
  const absl::Status answer = AddAnswer(row, chat, encoding, out);
  if (!answer.ok()) return WithContext(answer, absl::StrCat("row ", out.id));
  out.weight = static_cast<float>(row.weight);
  return out;
}

absl::StatusOr<EncodedRows> EncodeDataset(const std::filesystem::path& folder,
                                          const llm::ChatTemplate& chat, const TrainPlan& plan) {
  EncodedRows rows;
  const llm::TeacherReader teacher(chat.tokenizer());
  Encoding encoding{.loss_on = plan.loss_on, .objective = plan.objective};
  if (plan.objective == Objective::kDistil) encoding.teacher = &teacher;
  ASSIGN_OR_RETURN(Split train, EncodeSplit(folder, dataset::kTrain, chat, encoding, SIZE_MAX));
  if (plan.max_rows > 0 && static_cast<size_t>(plan.max_rows) < train.rows.size()) {
    train = Draw(train, static_cast<size_t>(plan.max_rows), plan.seed, /*whole_clusters=*/false);
  }
  encoding.teacher = nullptr;  // validation is by the data's own answers
  ASSIGN_OR_RETURN(Split validation,
                   EncodeSplit(folder, dataset::kValidation, chat, encoding, kValidationRows));
  if (validation.rows.empty() && plan.validation_fraction > 0) {
    const double share = plan.validation_fraction * static_cast<double>(train.rows.size());
    // Never more than is used: what is set aside is not trained on.
    const size_t wanted = std::min(static_cast<size_t>(std::llround(share)), kValidationRows);
    validation = Draw(train, wanted, plan.seed + 1, /*whole_clusters=*/true);
  }
  rows.train = std::move(train.rows);
  rows.validation = std::move(validation.rows);
  if (rows.train.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "TOO_FEW_ROWS",
                 "the data set version has no rows in its train split");
  }
  return rows;
}

}  // namespace crossover::worker
