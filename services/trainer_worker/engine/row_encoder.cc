#include "services/trainer_worker/engine/row_encoder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/dataset/digest.h"
#include "common/dataset/shard.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::worker {
namespace {

// Validation during training uses so many rows at most: it is repeated, and rows in digest order
// are a random sample.
constexpr size_t kValidationRows = 64;

std::vector<llm::ChatMessage> MessagesOf(const dataset::Row& row) {
  std::vector<llm::ChatMessage> messages;
  for (const dataset::Message& message : row.messages) {
    llm::ChatMessage out;
    out.role = message.role;
    out.content = dataset::TextOf(message);
    for (const dataset::ToolCall& call : message.tool_calls) {
      out.tool_calls.push_back({call.name, call.arguments});
    }
    out.weight = message.weight;
    messages.push_back(std::move(out));
  }
  return messages;
}

absl::StatusOr<std::vector<llm::ChatTool>> ToolsOf(const dataset::Row& row) {
  std::vector<llm::ChatTool> tools;
  if (row.tools.empty()) return tools;
  try {
    const nlohmann::json list = nlohmann::json::parse(row.tools);
    for (const nlohmann::json& tool : list) {
      const nlohmann::json& function = tool.contains("function") ? tool.at("function") : tool;
      tools.push_back({function.at("name").get<std::string>(), function.value("description", ""),
                       function.contains("parameters") ? function.at("parameters").dump() : ""});
    }
    return tools;
  } catch (const nlohmann::json::exception& error) {
    return Error(absl::StatusCode::kInvalidArgument, "ROW_INVALID",
                 absl::StrCat("tools: ", error.what()));
  }
}

absl::StatusOr<std::vector<llm::TrainRow>> EncodeSplit(const std::filesystem::path& folder,
                                                       std::string_view split,
                                                       const llm::ChatTemplate& chat,
                                                       LossOn loss_on, size_t limit) {
  ASSIGN_OR_RETURN(std::unique_ptr<dataset::ShardReader> reader,
                   dataset::ShardReader::Open(folder, {.split = std::string(split)}));
  std::vector<llm::TrainRow> rows;
  while (rows.size() < limit) {
    ASSIGN_OR_RETURN(std::optional<dataset::Row> row, reader->Next());
    if (!row.has_value()) break;
    ASSIGN_OR_RETURN(llm::TrainRow encoded, EncodeRow(*row, chat, loss_on));
    rows.push_back(std::move(encoded));
  }
  return rows;
}

// `count` of the rows drawn by seed, in their order; the others stay in `rows`, in theirs.
std::vector<llm::TrainRow> Draw(std::vector<llm::TrainRow>& rows, size_t count, int64_t seed) {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 engine(static_cast<uint64_t>(seed));
  // Fisher-Yates by hand: what std::shuffle does differs between standard libraries.
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  std::vector<bool> chosen(rows.size(), false);
  for (size_t i = 0; i < std::min(count, order.size()); ++i) chosen[order[i]] = true;
  std::vector<llm::TrainRow> drawn, rest;
  for (size_t i = 0; i < rows.size(); ++i) {
    (chosen[i] ? drawn : rest).push_back(std::move(rows[i]));
  }
  rows = std::move(rest);
  return drawn;
}

}  // namespace

absl::StatusOr<llm::TrainRow> EncodeRow(const dataset::Row& row, const llm::ChatTemplate& chat,
                                        LossOn loss_on) {
  llm::TrainRow out;
  ASSIGN_OR_RETURN(out.id, dataset::RowDigest(row));
  absl::StatusOr<std::vector<llm::ChatTool>> tools = ToolsOf(row);
  if (!tools.ok()) return WithContext(tools.status(), absl::StrCat("row ", out.id));
  absl::StatusOr<llm::TrainingSample> sample = chat.Training(
      MessagesOf(row), *tools,
      loss_on == LossOn::kLastAssistant ? llm::TrainedTurns::kLast : llm::TrainedTurns::kAll);
  if (!sample.ok()) return WithContext(sample.status(), absl::StrCat("row ", out.id));
  out.ids = std::move(sample->ids);
  out.token_weights = std::move(sample->weights);
  if (loss_on == LossOn::kAllTokens) {
    std::fill(out.token_weights.begin() + 1, out.token_weights.end(), 1.0F);
  }
  out.weight = static_cast<float>(row.weight);
  return out;
}

absl::StatusOr<EncodedRows> EncodeDataset(const std::filesystem::path& folder,
                                          const llm::ChatTemplate& chat, const TrainPlan& plan) {
  EncodedRows rows;
  ASSIGN_OR_RETURN(rows.train, EncodeSplit(folder, dataset::kTrain, chat, plan.loss_on, SIZE_MAX));
  if (plan.max_rows > 0 && static_cast<size_t>(plan.max_rows) < rows.train.size()) {
    rows.train = Draw(rows.train, static_cast<size_t>(plan.max_rows), plan.seed);
  }
  ASSIGN_OR_RETURN(rows.validation,
                   EncodeSplit(folder, dataset::kValidation, chat, plan.loss_on, kValidationRows));
  if (rows.validation.empty() && plan.validation_fraction > 0) {
    const double share = plan.validation_fraction * static_cast<double>(rows.train.size());
    rows.validation = Draw(rows.train, static_cast<size_t>(std::llround(share)), plan.seed + 1);
    if (rows.validation.size() > kValidationRows) rows.validation.resize(kValidationRows);
  }
  if (rows.train.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "TOO_FEW_ROWS",
                 "the data set version has no rows in its train split");
  }
  return rows;
}

}  // namespace crossover::worker
