// How many rows a verdict needs, before any are asked.
#pragma once

#include <cstdint>

namespace crossover::stats {

struct PowerOptions {
  double alpha = 0.05;  // two-sided
  double power = 0.80;
};

// Variance of one paired difference of scores: `omega` is the variance of the difference of true
// row scores, `sigma_*` that of one system's answers to the same row, divided by its repeats
// (Miller, arXiv 2411.00640, section 5).
struct PairedVariance {
  double omega = 0;
  double sigma_a = 0;
  double sigma_b = 0;
  int repeats_a = 1;
  int repeats_b = 1;

  double total() const { return omega + sigma_a / repeats_a + sigma_b / repeats_b; }
};

// Rows to detect a mean difference `delta`: (z_{a/2} + z_b)^2 * variance / delta^2, to the nearest
// row.
int64_t PairedSampleSize(double delta, const PairedVariance& variance,
                         const PowerOptions& options = {});

// The same for right/wrong answers that differ on a share `discordance` of the rows: variance =
// discordance - delta^2.
int64_t PairedSampleSize(double delta, double discordance, const PowerOptions& options = {});

// Rows per arm for two independent samples, each right with a share near `p`.
int64_t UnpairedSampleSize(double delta, double p, const PowerOptions& options = {});

// The smallest difference that n pairs at this discordance detect. n = 0: 1 (nothing).
double DetectableDifference(int64_t n, double discordance, const PowerOptions& options = {});

}  // namespace crossover::stats
