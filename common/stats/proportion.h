// Intervals of shares and of differences of shares.
#pragma once

#include <cstdint>

#include "common/stats/interval.h"

namespace crossover::stats {

// Wilson's score interval (Wilson 1927). n = 0 gives [0, 1].
Interval Wilson(int64_t successes, int64_t n, double level = 0.95);

// The four cells of two right/wrong answers to the same questions.
struct PairedCounts {
  int64_t both_right = 0;
  int64_t only_first = 0;   // first right, second wrong
  int64_t only_second = 0;  // second right, first wrong
  int64_t both_wrong = 0;

  int64_t n() const { return both_right + only_first + only_second + both_wrong; }
};

// p(first) - p(second), paired: Newcombe 1998, Statistics in Medicine 17:2635, method 10 (score
// intervals of the margins joined with the continuity-corrected correlation). Unlike a Wald
// interval it keeps a width when no pair is discordant.
Interval NewcombePaired(const PairedCounts& counts, double level = 0.95);

// p1 - p2 of independent samples: Newcombe 1998, Statistics in Medicine 17:873, method 10.
Interval NewcombeIndependent(int64_t successes1, int64_t n1, int64_t successes2, int64_t n2,
                             double level = 0.95);

}  // namespace crossover::stats
