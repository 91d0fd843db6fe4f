// What a row says beside its answer, for distillation.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/train/trainer.h"

namespace crossover::llm {

// Turns a teacher's log-probabilities, which name tokens by their text, into ids of the base's
// vocabulary.
class TeacherReader {
 public:
  // Borrows the tokenizer.
  explicit TeacherReader(const Tokenizer& tokenizer);

  // Sets `out.teacher` from `logprobs`, the object that chat completions return:
  //   {"content":[{"token","bytes","logprob","top_logprobs":[{"token","bytes","logprob"}]}]}
  // with one entry for each token of the last answer, in order; the end of the turn may be left
  // out. `bytes` counts where it is there, since `token` cannot name a part of a character. Tokens
  // that the vocabulary lacks are left out: their probability belongs to the rest.
  // INVALID_ARGUMENT ROW_WITHOUT_TEACHER for an empty text, TEACHER_TOKENS_DIFFER at the first
  // token that is another one for the base, ROW_INVALID for what is no such object.
  absl::Status Read(std::string_view logprobs, TrainRow& out) const;

 private:
  const Tokenizer& tokenizer_;
  std::unordered_map<std::string_view, int32_t> ids_;  // By bytes; of equal ones the lowest.
};

}  // namespace crossover::llm
