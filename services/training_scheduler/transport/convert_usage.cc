#include "services/training_scheduler/transport/convert_usage.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "services/training_scheduler/transport/convert.h"

namespace crossover::scheduler {
namespace {

// Kept as they are said, so they are short.
constexpr size_t kMostDevices = 16;
constexpr size_t kLongestKind = 32;

template <typename Number>
void DropBad(const std::string& field, Number& value, std::vector<std::string>& wrong) {
  if (std::isfinite(static_cast<double>(value)) && value >= 0) return;
  wrong.push_back(absl::StrCat(field, " is ", value, "; at least 0 is meant"));
  value = 0;
}

}  // namespace

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

std::vector<std::string> DropBadUsage(WorkerUsage& usage) {
  std::vector<std::string> wrong;
  if (usage.devices.size() > kMostDevices) {
    wrong.push_back(absl::StrCat("devices are ", usage.devices.size(), "; at most ", kMostDevices,
                                 " may be said"));
    usage.devices.resize(kMostDevices);
  }
  DropBad("tokens_per_second", usage.tokens_per_second, wrong);
  for (size_t i = 0; i < usage.devices.size(); ++i) {
    DeviceUsage& device = usage.devices[i];
    const std::string field = absl::StrCat("devices[", i, "]");
    DropBad(absl::StrCat(field, ".memory_bytes"), device.memory_bytes, wrong);
    DropBad(absl::StrCat(field, ".memory_limit_bytes"), device.memory_limit_bytes, wrong);
    DropBad(absl::StrCat(field, ".busy_ratio"), device.busy_ratio, wrong);
    if (device.kind.size() <= kLongestKind) continue;
    wrong.push_back(absl::StrCat(field, ".kind has ", device.kind.size(), " bytes; ", kLongestKind,
                                 " may be said"));
    device.kind.clear();
  }
  return wrong;
}

}  // namespace crossover::scheduler
