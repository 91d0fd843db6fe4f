// What changed between two prompts, field by field, with a line diff for texts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/prompt/prompt_spec.h"

namespace crossover::prompt {

struct Change {
  enum class Kind { kAdded, kRemoved, kChanged };
  std::string field;  // `messages[0].content`, `few_shot[2]`, `sampling.temperature`
  Kind kind = Kind::kChanged;
  std::string before;  // text, or JSON for what is not text
  std::string after;
  std::string lines;  // for changed texts: lines marked `-`, `+` or ` `
};

// In the order of the JSON form; empty if the specs are equal.
std::vector<Change> Diff(const PromptSpec& before, const PromptSpec& after);

// The lines of both texts with `-`, `+` or ` ` before each, along a longest common subsequence of
// lines.
std::string LineDiff(std::string_view before, std::string_view after);

}  // namespace crossover::prompt
