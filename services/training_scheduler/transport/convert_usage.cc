#include "services/training_scheduler/transport/convert_usage.h"

#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {

WorkerUsage UsageFromProto(const v1::WorkerUsage& from) {
  WorkerUsage usage;
  for (const v1::WorkerUsage::Device& device : from.devices()) {
    usage.devices.push_back({.kind = device.kind(),
                             .memory_bytes = device.memory_bytes(),
                             .memory_limit_bytes = device.memory_limit_bytes(),
                             .busy_ratio = device.busy_ratio()});
  }
  usage.tokens_per_second = from.tokens_per_second();
  return usage;
}

v1::WorkerUsage UsageToProto(const WorkerUsage& usage) {
  v1::WorkerUsage out;
  for (const DeviceUsage& device : usage.devices) {
    v1::WorkerUsage::Device* to = out.add_devices();
    to->set_kind(device.kind);
    to->set_memory_bytes(device.memory_bytes);
    to->set_memory_limit_bytes(device.memory_limit_bytes);
    to->set_busy_ratio(device.busy_ratio);
  }
  out.set_tokens_per_second(usage.tokens_per_second);
  *out.mutable_sample_time() = ToProto(usage.time);
  return out;
}

}  // namespace crossover::scheduler
