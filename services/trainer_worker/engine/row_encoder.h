// Rows of a data set as token ids with loss weights.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"
#include "llm/chat/chat_template.h"
#include "llm/train/trainer.h"
#include "services/trainer_worker/domain/work.h"

namespace crossover::llm {
class TeacherReader;
}  // namespace crossover::llm

namespace crossover::worker {

struct Encoding {
  LossOn loss_on = LossOn::kByRow;
  Objective objective = Objective::kSupervised;
  const llm::TeacherReader* teacher = nullptr;  // borrowed; null: a teacher's numbers are not read
};

// One row. Errors name it by its digest: NO_TRAINED_TOKENS, FIELD_INVALID, MODEL_UNSUPPORTED, and
// ROW_WITHOUT_REJECTED and those of llm/rows/teacher_reader.h.
absl::StatusOr<llm::TrainRow> EncodeRow(const dataset::Row& row, const llm::ChatTemplate& chat,
                                        const Encoding& encoding);

struct EncodedRows {
  std::vector<llm::TrainRow> train;
  std::vector<llm::TrainRow> validation;
};

// The splits of a folder of shards, streamed: only the ids stay in memory. With a plan that limits
// rows, or takes a share of them for validation, which rows those are depends on the seed alone. A
// share for validation is made of whole clusters.
absl::StatusOr<EncodedRows> EncodeDataset(const std::filesystem::path& folder,
                                          const llm::ChatTemplate& chat, const TrainPlan& plan);

}  // namespace crossover::worker
