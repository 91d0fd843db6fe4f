#include "llm/rows/teacher_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {
namespace {

using nlohmann::json;

absl::Status Wrong(std::string_view reason, std::string message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, std::move(message));
}

// Throws json::exception.
std::string BytesOf(const json& token) {
  const auto bytes = token.find("bytes");
  if (bytes == token.end() || bytes->is_null()) return token.at("token").get<std::string>();
  std::string text;
  for (const json& byte : *bytes) text.push_back(static_cast<char>(byte.get<int>()));
  return text;
}

// The last run of trained tokens: the answer and its end of turn.
std::pair<size_t, size_t> AnswerOf(const TrainRow& row) {
  size_t end = row.token_weights.size();
  while (end > 0 && row.token_weights[end - 1] == 0) --end;
  size_t begin = end;
  while (begin > 0 && row.token_weights[begin - 1] != 0) --begin;
  return {begin, end};
}

// Of a token's object. A logarithm of more than 1 by more than rounding is no probability.
absl::StatusOr<double> LogProbabilityOf(const json& token) {
  const double value = token.at("logprob").get<double>();
  if (value <= kMaxLogProbability) return value;
  return Wrong("ROW_INVALID",
               absl::StrCat("logprobs: ", value, " is no log-probability; those are 0 or less"));
}

void AddToken(int32_t id, double log_probability, TeacherToken& token) {
  if (std::ranges::count(token.ids, id) > 0) return;
  token.ids.push_back(id);
  token.log_probabilities.push_back(static_cast<float>(log_probability));
}

}  // namespace

TeacherReader::TeacherReader(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    ids_.try_emplace(tokenizer.Bytes(id), id);
  }
}

absl::Status TeacherReader::Read(std::string_view logprobs, TrainRow& out) const {
  if (logprobs.empty()) {
    return Wrong(
        "ROW_WITHOUT_TEACHER",
        "has no log-probabilities of a teacher, and distillation needs them in every row: give it "
        "`logprobs`, as chat completions return them, or train on the answers alone (kind sft)");
  }
  out.teacher.assign(out.ids.size(), {});
  const auto [begin, end] = AnswerOf(out);
  try {
    const json object = json::parse(logprobs);
    const json& content = object.at("content");
    for (size_t i = 0; i < content.size(); ++i) {
      const std::string bytes = BytesOf(content[i]);
      const std::string_view own =
          begin + i < end ? tokenizer_.Bytes(out.ids[begin + i]) : std::string_view();
      if (begin + i >= end || own != bytes) {
        return Wrong("TEACHER_TOKENS_DIFFER",
                     absl::StrCat("logprobs.content[", i, "] is '", absl::CHexEscape(bytes),
                                  "', and '", absl::CHexEscape(std::string(own)),
                                  "' for the base model's tokenizer; a teacher must split text as "
                                  "the base does"));
      }
      TeacherToken& token = out.teacher[begin + i];
      ASSIGN_OR_RETURN(const double own_value, LogProbabilityOf(content[i]));
      AddToken(out.ids[begin + i], own_value, token);
      for (const json& other : content[i].value("top_logprobs", json::array())) {
        const auto found = ids_.find(BytesOf(other));
        if (found == ids_.end()) continue;
        ASSIGN_OR_RETURN(const double value, LogProbabilityOf(other));
        AddToken(found->second, value, token);
      }
    }
    for (size_t i = begin + content.size(); i < end; ++i) {
      if (tokenizer_.IsSpecial(out.ids[i])) continue;
      return Wrong("TEACHER_TOKENS_DIFFER", absl::StrCat("logprobs.content has ", content.size(),
                                                         " tokens, and the answer more than that"));
    }
    return absl::OkStatus();
  } catch (const json::exception& error) {
    return Wrong("ROW_INVALID", absl::StrCat("logprobs: ", error.what()));
  }
}

}  // namespace crossover::llm
