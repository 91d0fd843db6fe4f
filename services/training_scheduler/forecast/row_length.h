// Which rows may be too long, without a tokenizer.
#pragma once

#include <cstdint>

#include "common/dataset/row.h"

namespace crossover::scheduler {

// Tokens that the row has at most, in either answer of a pair: each token stands for a byte or more
// of what the template writes, which is the row's text, JSON that may be escaped or indented, a
// header for each turn and a preamble.
int64_t MostTokens(const dataset::Row& row);

}  // namespace crossover::scheduler
