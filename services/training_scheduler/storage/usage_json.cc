#include "services/training_scheduler/storage/usage_json.h"

#include <cstdint>

namespace crossover::scheduler {
namespace {

using nlohmann::json;

double Number(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

int64_t Integer(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

}  // namespace

json PackUsage(const WorkerUsage& usage) {
  json devices = json::array();
  for (const DeviceUsage& device : usage.devices) {
    devices.push_back({{"kind", device.kind},
                       {"memory_bytes", device.memory_bytes},
                       {"memory_limit_bytes", device.memory_limit_bytes},
                       {"busy_ratio", device.busy_ratio}});
  }
  return {{"devices", std::move(devices)},
          {"tokens_per_second", usage.tokens_per_second},
          {"time_us", absl::ToUnixMicros(usage.time)}};
}

WorkerUsage UnpackUsage(const json& packed) {
  WorkerUsage usage;
  if (!packed.is_object()) return usage;
  if (const auto devices = packed.find("devices"); devices != packed.end()) {
    for (const json& device : *devices) {
      if (!device.is_object()) continue;
      const auto kind = device.find("kind");
      usage.devices.push_back(
          {.kind = kind != device.end() && kind->is_string() ? kind->get<std::string>() : "",
           .memory_bytes = Integer(device, "memory_bytes"),
           .memory_limit_bytes = Integer(device, "memory_limit_bytes"),
           .busy_ratio = Number(device, "busy_ratio")});
    }
  }
  usage.tokens_per_second = Number(packed, "tokens_per_second");
  usage.time = absl::FromUnixMicros(Integer(packed, "time_us"));
  return usage;
}

std::string UsageToJson(const WorkerUsage& usage) {
  return PackUsage(usage).dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<WorkerUsage> UsageFromJson(std::string_view text) {
  const json packed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (packed.is_discarded()) return absl::InternalError("stored usage cannot be read: no JSON");
  return UnpackUsage(packed);
}

}  // namespace crossover::scheduler
