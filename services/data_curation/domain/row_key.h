// What two rows must share to count as the same.
#pragma once

#include <string>

#include "common/dataset/row.h"

namespace crossover::curation {

// The text that similarity compares: every message before the answer, without system messages (rows
// of a task share theirs).
std::string InputText(const dataset::Row& row);

// The answer as one text: content, tool calls, and the rejected answer of preference rows.
std::string AnswerKey(const dataset::Row& row);

// The words of InputText after normalisation: equal for texts that differ in case, width,
// punctuation and white space.
std::string NormalisedInput(const dataset::Row& row);

// Which of two rows stays when one must go: test before validation before train and rows without a
// split.
int SplitRank(std::string_view split);

}  // namespace crossover::curation
