// evaluation.v1 messages <-> domain values.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "crossover/evaluation/v1/decision.pb.h"
#include "crossover/evaluation/v1/ladder.pb.h"
#include "crossover/evaluation/v1/run.pb.h"
#include "crossover/evaluation/v1/suite.pb.h"
#include "services/evaluation/domain/comparison.h"
#include "services/evaluation/domain/decision.h"
#include "services/evaluation/domain/ladder.h"
#include "services/evaluation/domain/run.h"
#include "services/evaluation/domain/scored_rows.h"
#include "services/evaluation/domain/suite.h"

namespace crossover::evaluation {

namespace pb = ::crossover::evaluation::v1;

pb::SuiteVersion ToProto(const Suite& suite, int64_t times_used);
// Project and slug come from the request's parent. Unimplemented NOT_IMPLEMENTED for graders of
// later issues.
absl::StatusOr<Suite> FromProto(const pb::SuiteVersion& suite);
absl::StatusOr<std::vector<SuiteRow>> RowsFromProto(const pb::InlineRows& rows);
// `hide`: digests, attributes and judgements only, as TEST rows are shown.
pb::SuiteRow ToProto(const SuiteRow& row, const std::vector<Judgement>& judgements, bool hide);
pb::Judgement ToProto(const Judgement& judgement);
absl::StatusOr<Judgement> FromProto(const pb::Judgement& judgement);

pb::Run ToProto(const Run& run);
absl::StatusOr<Run> FromProto(const pb::Run& run);
pb::Answer ToProto(const Run& run, const SuiteRow& row, const ScoredAnswer& answer,
                   const std::vector<GraderSpec>& graders);
pb::Comparison ToProto(const Comparison& comparison);

pb::Ladder ToProto(const Ladder& ladder);
absl::StatusOr<Ladder> FromProto(const pb::Ladder& ladder);

pb::Decision ToProto(const Decision& decision);
absl::StatusOr<Decision> FromProto(const pb::Decision& decision);

}  // namespace crossover::evaluation
