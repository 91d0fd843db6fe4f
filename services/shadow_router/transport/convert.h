// router.v1 messages to domain values and back; nothing else.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "crossover/router/v1/experiment.pb.h"
#include "crossover/router/v1/pair.pb.h"
#include "crossover/router/v1/route.pb.h"
#include "crossover/type/v1/statistics.pb.h"
#include "crossover/type/v1/system.pb.h"
#include "services/shadow_router/domain/control.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router {

namespace pb = ::crossover::router::v1;

// INVALID_ARGUMENT with the field's path where a value can't be understood.
absl::StatusOr<System> FromProto(const type::v1::System& proto, const std::string& path);
type::v1::System ToProto(const System& system);

// OpenAI parameters as JSON texts, and back. Used for prompts of the registry too.
std::map<std::string, std::string> SamplingFields(const type::v1::Sampling& proto);
void SetSampling(const std::map<std::string, std::string>& fields, type::v1::Sampling* out);

absl::StatusOr<Route> FromProto(const pb::Route& proto);
pb::Route ToProto(const Route& route);

// Settings only; what is absent takes its default. Minima below their default are recorded by the
// caller.
absl::StatusOr<Experiment> FromProto(const pb::Experiment& proto);
// `json_fields` with `{"fields":[…]}` and so on; also for the graders of a task's output contract.
absl::StatusOr<ComparatorSpec> ComparatorFrom(const std::string& kind,
                                              const std::string& parameters,
                                              const std::string& path);
pb::Experiment ToProto(const Experiment& experiment);
pb::Experiment ToProto(const Report& report);
pb::Transition ToProto(const Transition& transition);
void AddConditions(const Report& report,
                   google::protobuf::RepeatedPtrField<type::v1::Evidence>& out);

type::v1::Interval ToProto(const stats::Interval& interval);
pb::Pair ToProto(const Pair& pair);
pb::LedgerEntry ToProto(const LedgerRow& row);
pb::LedgerEntry ToProto(const LedgerCounts& counts);
pb::Recording ToProto(const Recording& recording, const std::string& project);
// INVALID_ARGUMENT `FEEDBACK_INVALID`.
absl::StatusOr<Feedback> FromProto(const pb::Feedback& proto);
pb::Feedback ToProto(const Feedback& feedback);

}  // namespace crossover::router
