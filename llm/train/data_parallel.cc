#include "llm/train/data_parallel.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/status/status_macros.h"

namespace crossover::llm {

std::vector<const TrainRow*> ShareOf(std::span<const TrainRow* const> rows,
                                     const Collective& peers) {
  std::vector<const TrainRow*> share;
  for (size_t i = peers.rank(); i < rows.size(); i += peers.size()) share.push_back(rows[i]);
  return share;
}

int64_t PlaceInWindow(int64_t place_in_share, const Collective& peers) {
  return place_in_share * peers.size() + peers.rank();
}

absl::Status Combine(Collective& peers, int64_t& bad_row, LossResult& sum, int64_t& computed_tokens,
                     std::span<float> gradients) {
  // Counts are exact in doubles. A loss that is no number would make all of them such. Behind them
  // each process has a place for its bad row, counted from 1.
  constexpr size_t kCounts = 10;
  std::vector<double> numbers(kCounts + static_cast<size_t>(peers.size()), 0);
  if (bad_row < 0) {
    const std::array<double, kCounts> counts = {static_cast<double>(computed_tokens),
                                                static_cast<double>(sum.tokens),
                                                static_cast<double>(sum.correct),
                                                sum.weighted_loss,
                                                sum.weight,
                                                sum.margin,
                                                sum.ordered,
                                                sum.kl_to_base,
                                                sum.teacher_kl,
                                                sum.teacher_weight};
    std::copy(counts.begin(), counts.end(), numbers.begin());
  } else {
    numbers[kCounts + static_cast<size_t>(peers.rank())] = static_cast<double>(bad_row + 1);
  }
  RETURN_IF_ERROR(peers.Sum(std::span<double>(numbers)));
  bad_row = -1;
  for (size_t i = kCounts; i < numbers.size(); ++i) {
    const int64_t row = std::llround(numbers[i]) - 1;
    if (row >= 0 && (bad_row < 0 || row < bad_row)) bad_row = row;
  }
  if (bad_row >= 0) return absl::OkStatus();
  computed_tokens = std::llround(numbers[0]);
  sum.tokens = std::llround(numbers[1]);
  sum.correct = std::llround(numbers[2]);
  sum.weighted_loss = numbers[3];
  sum.weight = numbers[4];
  sum.margin = numbers[5];
  sum.ordered = numbers[6];
  sum.kl_to_base = numbers[7];
  sum.teacher_kl = numbers[8];
  sum.teacher_weight = numbers[9];
  if (gradients.empty()) return absl::OkStatus();
  return peers.Sum(gradients);
}

}  // namespace crossover::llm
