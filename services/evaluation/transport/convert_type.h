// type.v1 and well-known messages <-> domain values.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/type/money.pb.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/stats/interval.h"
#include "crossover/type/v1/statistics.pb.h"
#include "crossover/type/v1/system.pb.h"
#include "services/evaluation/domain/evidence.h"
#include "services/evaluation/domain/store.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

// InvalidArgument FIELD_INVALID: "<field>: <what>".
absl::Status Invalid(const std::string& field, std::string_view what);

google::protobuf::Timestamp ToProto(absl::Time time);
google::protobuf::Duration SecondsToProto(double seconds);
// USD, to the nearest nano.
google::type::Money MoneyToProto(double usd);
// InvalidArgument FIELD_INVALID for another currency than USD (empty counts as USD).
absl::StatusOr<double> ToUsd(const google::type::Money& money, const std::string& field);

type::v1::Interval ToProto(const stats::Interval& interval);
type::v1::Usage ToProto(const Usage& usage);
type::v1::System ToProto(const System& system);
// InvalidArgument FIELD_INVALID with the path of what is wrong.
absl::StatusOr<System> FromProto(const type::v1::System& system, const std::string& field);
type::v1::Evidence ToProto(const Evidence& evidence);

// Request id and digest of the rest of the request. InvalidArgument FIELD_INVALID for an id that is
// no UUID.
absl::StatusOr<RequestKey> KeyOf(const google::protobuf::Message& request,
                                 const std::string& request_id);

template <typename Map>
std::map<std::string, std::string> FromMap(const Map& map) {
  return {map.begin(), map.end()};
}
template <typename Map>
void FillMap(const std::map<std::string, std::string>& from, Map* to) {
  for (const auto& [key, value] : from) (*to)[key] = value;
}

}  // namespace crossover::evaluation
