#include "bench/train/rows.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/temporary_folder.h"
#include "common/status/status_macros.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/model/random.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/train/schedule.h"

namespace crossover::llm {

namespace {

int32_t Token(int64_t vocab, uint64_t stream, uint64_t i) {
  return static_cast<int32_t>(RandomBits(1, stream, i) % (vocab - 100) + 50);
}

}  // namespace

std::vector<TrainRow> SyntheticRows(int64_t count, int64_t vocab) {
  std::vector<TrainRow> rows;
  for (int64_t r = 0; r < count; ++r) {
    TrainRow row{.id = absl::StrCat("synthetic-", r)};
    for (int64_t i = 0; i < 90; ++i) row.ids.push_back(Token(vocab, 0, i));
    for (int64_t i = 0; i < 85; ++i) row.ids.push_back(Token(vocab, 1 + r, i));
    row.token_weights.assign(row.ids.size(), 0.0f);
    std::fill(row.token_weights.end() - 25, row.token_weights.end(), 1.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<TrainRow> LongRows(int64_t count, int64_t length, int64_t vocab) {
  std::vector<TrainRow> rows;
  for (int64_t r = 0; r < count; ++r) {
    TrainRow row{.id = absl::StrCat("long-", r)};
    for (int64_t i = 0; i < length; ++i) row.ids.push_back(Token(vocab, 1 + r, i));
    row.token_weights.assign(row.ids.size(), 0.0f);
    std::fill(row.token_weights.end() - length / 4, row.token_weights.end(), 1.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<std::vector<TrainRow>> ReadRows(const std::string& path, const std::string& model) {
  ASSIGN_OR_RETURN(const auto file, GgufFile::Open(model));
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::FromGguf(*file));
  ASSIGN_OR_RETURN(const auto chat, ChatTemplate::FromGguf(*file, tokenizer));
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  std::vector<TrainRow> rows;
  for (std::string line; std::getline(in, line);) {
    const std::string id = absl::StrCat("line ", rows.size() + 1);
    std::vector<ChatMessage> messages;
    try {
      const nlohmann::json json = nlohmann::json::parse(line);
      for (const auto& message : json.at("messages")) {
        messages.push_back({.role = message.at("role"), .content = message.at("content")});
      }
    } catch (const nlohmann::json::exception& e) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", id, ": ", e.what()));
    }
    ASSIGN_OR_RETURN(TrainingSample sample, chat->Training(messages));
    rows.push_back({.id = id, .ids = sample.ids, .token_weights = sample.weights});
  }
  return rows;
}

absl::StatusOr<std::vector<TrainRow>> DemoRows(const std::string& model) {
  const bench::TemporaryFolder folder;
  const std::string command =
      absl::StrCat("python3 '", CROSSOVER_SOURCE_DIR, "/examples/debian_packages/make_rows.py' '",
                   folder.path().string(), "' 1>&2");
  if (folder.path().empty() || std::system(command.c_str()) != 0) {
    return absl::FailedPreconditionError(
        "the demo's rows could not be made (see above); name a JSONL file of rows, or measure on "
        "--synthetic ones");
  }
  return ReadRows((folder.path() / "train.jsonl").string(), model);
}

std::vector<TrainRow> InJobOrder(const std::vector<TrainRow>& rows, TrainConfig config) {
  config.shuffle = true;
  RowOrder order(config, static_cast<int64_t>(rows.size()));
  std::vector<TrainRow> drawn;
  for (int64_t step = 0; step < order.steps(); ++step) {
    for (const int32_t row : order.Window(step)) drawn.push_back(rows[row]);
  }
  return drawn;
}

}  // namespace crossover::llm
