#include "llm/train/data_parallel.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

std::vector<const TrainRow*> ShareOf(std::span<const TrainRow* const> rows,
                                     const Collective& peers) {
  std::vector<const TrainRow*> share;
  for (size_t i = peers.rank(); i < rows.size(); i += peers.size()) share.push_back(rows[i]);
  return share;
}

absl::Status Combine(Collective& peers, const absl::Status& mine, LossResult& sum,
                     int64_t& computed_tokens, std::span<float> gradients) {
  // Counts are exact in doubles. A loss that is no number would make all of them such.
  std::array<double, 11> numbers{};
  if (mine.ok()) {
    numbers = {0,
               static_cast<double>(computed_tokens),
               static_cast<double>(sum.tokens),
               static_cast<double>(sum.correct),
               sum.weighted_loss,
               sum.weight,
               sum.margin,
               sum.ordered,
               sum.kl_to_base,
               sum.teacher_kl,
               sum.teacher_weight};
  } else {
    numbers[0] = 1;
  }
  RETURN_IF_ERROR(peers.Sum(std::span<double>(numbers)));
  RETURN_IF_ERROR(mine);
  if (numbers[0] > 0) {
    return Error(absl::StatusCode::kAborted, "LOSS_NOT_FINITE",
                 absl::StrCat("rank ", peers.rank(), " stops because ", numbers[0], " of ",
                              peers.size(), " processes found a loss that is not a finite number"));
  }
  computed_tokens = std::llround(numbers[1]);
  sum.tokens = std::llround(numbers[2]);
  sum.correct = std::llround(numbers[3]);
  sum.weighted_loss = numbers[4];
  sum.weight = numbers[5];
  sum.margin = numbers[6];
  sum.ordered = numbers[7];
  sum.kl_to_base = numbers[8];
  sum.teacher_kl = numbers[9];
  sum.teacher_weight = numbers[10];
  if (gradients.empty()) return absl::OkStatus();
  return peers.Sum(gradients);
}

}  // namespace crossover::llm
