// Times, durations and money between protobuf and Abseil, and errors about fields. Private to
// transport.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/type/money.pb.h>

#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/error.h"

namespace crossover::router {

inline void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  out->set_seconds(seconds);
  out->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

inline void SetDuration(absl::Duration duration, google::protobuf::Duration* out) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(seconds))));
}

inline absl::Duration ToAbslDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

inline void SetUsd(double usd, google::type::Money* out) {
  const double units = std::trunc(usd);
  out->set_currency_code("USD");
  out->set_units(static_cast<int64_t>(units));
  out->set_nanos(static_cast<int32_t>(std::lround((usd - units) * 1e9)));
}

inline double ToUsd(const google::type::Money& money) {
  return static_cast<double>(money.units()) + money.nanos() / 1e9;
}

// InvalidArgument FIELD_INVALID: "<field>: <message>".
inline absl::Status BadField(const std::string& field, const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
               {.reason = "FIELD_INVALID", .metadata = {}, .violations = {{field, message}}});
}

}  // namespace crossover::router
