// MetricPoint: named fields in the proto, a map in the domain, so that a new metric costs one line
// here.
#include <cmath>
#include <utility>

#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {
namespace {

using Point = pb::MetricPoint;

struct Field {
  const char* name;
  bool (Point::*has)() const;
  double (Point::*get)() const;
  void (Point::*set)(double);
};

#define FIELD(field) \
  Field { #field, &Point::has_##field, &Point::field, &Point::set_##field }
constexpr Field kFields[] = {
    FIELD(train_loss),
    FIELD(train_mean_token_accuracy),
    FIELD(valid_loss),
    FIELD(valid_mean_token_accuracy),
    FIELD(full_valid_loss),
    FIELD(full_valid_mean_token_accuracy),
    FIELD(learning_rate),
    FIELD(grad_norm),
    FIELD(tokens_per_second),
    FIELD(reward_margin),
    FIELD(reward_accuracy),
    FIELD(valid_reward_margin),
    FIELD(valid_reward_accuracy),
    FIELD(kl_to_base),
    FIELD(teacher_kl),
};
#undef FIELD

int64_t Integer(const MetricPoint& point, const char* name) {
  const auto found = point.values.find(name);
  return found == point.values.end() ? 0 : std::llround(found->second);
}

}  // namespace

pb::MetricPoint ToProto(const MetricPoint& point) {
  Point out;
  out.set_step(point.step);
  *out.mutable_time() = ToProto(point.time);
  out.set_lease_epoch(point.epoch);
  for (const Field& field : kFields) {
    const auto found = point.values.find(field.name);
    if (found != point.values.end()) (out.*field.set)(found->second);
  }
  out.set_tokens(Integer(point, "tokens"));
  out.set_memory_bytes(Integer(point, "memory_bytes"));
  return out;
}

MetricPoint FromProto(const Point& point) {
  MetricPoint out;
  out.step = point.step();
  if (point.has_time()) out.time = FromProto(point.time());
  for (const Field& field : kFields) {
    if ((point.*field.has)()) out.values[field.name] = (point.*field.get)();
  }
  if (point.tokens() != 0) out.values["tokens"] = static_cast<double>(point.tokens());
  if (point.memory_bytes() != 0)
    out.values["memory_bytes"] = static_cast<double>(point.memory_bytes());
  return out;
}

}  // namespace crossover::scheduler
