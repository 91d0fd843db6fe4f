#include "common/stats/interval.h"

#include <cmath>

#include "common/stats/json_read.h"
#include "common/status/status_macros.h"

namespace crossover::stats {
namespace {

nlohmann::json Bound(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace

nlohmann::json ToJson(const Interval& interval) {
  return {{"point", interval.point},        {"lower", Bound(interval.lower)},
          {"upper", Bound(interval.upper)}, {"level", interval.level},
          {"method", interval.method},      {"n", interval.n},
          {"clusters", interval.clusters},  {"anytime_valid", interval.anytime_valid}};
}

absl::StatusOr<Interval> IntervalFromJson(const nlohmann::json& json) {
  Interval interval;
  JsonReader reader(json, "interval");
  reader.Number("point", interval.point);
  if (!reader.IsNull("lower")) reader.Number("lower", interval.lower);
  if (!reader.IsNull("upper")) reader.Number("upper", interval.upper);
  reader.Number("level", interval.level);
  reader.String("method", interval.method);
  reader.Integer("n", interval.n);
  reader.Integer("clusters", interval.clusters);
  reader.Bool("anytime_valid", interval.anytime_valid);
  RETURN_IF_ERROR(reader.status());
  return interval;
}

bool IsNonInferior(const Interval& candidate_minus_baseline, double margin) {
  return candidate_minus_baseline.lower > -margin;
}

bool IsEquivalent(const Interval& difference, double margin) {
  return difference.lower > -margin && difference.upper < margin;
}

bool ExcludesZero(const Interval& difference) {
  return difference.lower > 0 || difference.upper < 0;
}

}  // namespace crossover::stats
