#include "llm/formats/hf_export.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/quantize_rows.h"
#include "llm/formats/safetensors_writer.h"

namespace crossover::llm {
namespace {

using Shard = std::vector<const WeightSpec*>;

int64_t ValuesOf(const WeightSpec& weight) {
  int64_t values = 1;
  for (const int64_t size : weight.shape) values *= size;
  return values;
}

uint64_t Bf16BytesOf(const WeightSpec& weight) {
  return 2 * static_cast<uint64_t>(ValuesOf(weight));
}

// Weights in the model's order, as transformers splits them.
std::vector<Shard> ShardsOf(const std::vector<WeightSpec>& weights, uint64_t limit) {
  std::vector<Shard> shards(1);
  uint64_t size = 0;
  for (const WeightSpec& weight : weights) {
    const uint64_t bytes = Bf16BytesOf(weight);
    if (!shards.back().empty() && size + bytes > limit) {
      shards.emplace_back();
      size = 0;
    }
    shards.back().push_back(&weight);
    size += bytes;
  }
  return shards;
}

std::string ShardName(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  return absl::StrFormat("model-%05d-of-%05d.safetensors", index + 1, count);
}

absl::Status WriteShard(const Shard& shard, const WeightReader& read,
                        const std::map<std::string, std::string>& metadata,
                        const std::filesystem::path& path) {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, const WeightSpec*> specs;
  for (const WeightSpec* weight : shard) {
    entries.push_back({weight->hf_name, Dtype::kBf16, weight->shape});
    specs[weight->hf_name] = weight;
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsWriter> writer,
                   SafetensorsWriter::Create(path, std::move(entries), metadata));
  for (const SafetensorsEntry& entry : writer->entries()) {
    const WeightSpec& weight = *specs.at(entry.name);
    std::vector<float> values(ValuesOf(weight));
    RETURN_IF_ERROR(read(weight, values));
    std::vector<std::byte> encoded(Bf16BytesOf(weight));
    RETURN_IF_ERROR(QuantizeRows(TensorType::kBf16, values, weight.shape.back(), encoded));
    RETURN_IF_ERROR(writer->Append(encoded));
  }
  return writer->Finish();
}

}  // namespace

absl::Status ExportSafetensors(const ModelConfig& config, const WeightReader& read,
                               const SafetensorsExportOptions& options,
                               const std::filesystem::path& folder) {
  std::map<std::string, std::string> metadata = options.metadata;
  metadata["format"] = "pt";
  const std::vector<WeightSpec> weights = WeightsOf(config);
  const std::vector<Shard> shards = ShardsOf(weights, options.shard_bytes);
  nlohmann::json places = nlohmann::json::object();
  uint64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = ShardName(i, shards.size());
    RETURN_IF_ERROR(WriteShard(shards[i], read, metadata, folder / name));
    for (const WeightSpec* weight : shards[i]) {
      places[weight->hf_name] = name;
      total += Bf16BytesOf(*weight);
    }
  }
  if (shards.size() == 1) return absl::OkStatus();
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", places}};
  return WriteFileAtomically(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace crossover::llm
