#include "llm/formats/gguf_export.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/permute.h"
#include "llm/formats/quantize_rows.h"

namespace crossover::llm {
namespace {

// Keys that describe the base file itself, how it was stored and what it was exported from. They
// are written anew, or no longer hold.
bool IsAboutTheFile(std::string_view key) {
  return key == "general.file_type" || key == "general.quantization_version" ||
         key == "general.alignment" || key.starts_with("split.") || key.starts_with("quantize.") ||
         key.starts_with("crossover.");
}

absl::Status AddMetadata(const GgufFile& base, const GgufExportOptions& options,
                         GgufWriter& writer) {
  const auto given_anew = [&](std::string_view key) {
    return std::any_of(options.lineage.begin(), options.lineage.end(),
                       [&](const auto& entry) { return entry.first == key; });
  };
  for (const GgufMetadata& entry : base.metadata()) {
    if (IsAboutTheFile(entry.key) || given_anew(entry.key)) continue;
    RETURN_IF_ERROR(writer.AddEncoded(entry));
  }
  RETURN_IF_ERROR(writer.AddUint32("general.file_type", static_cast<uint32_t>(options.type)));
  RETURN_IF_ERROR(writer.AddUint32("general.quantization_version", 2));
  for (const auto& [key, value] : options.lineage) RETURN_IF_ERROR(writer.AddString(key, value));
  return absl::OkStatus();
}

absl::Status WriteWeight(const WeightSpec& weight, const ModelConfig& config,
                         const WeightReader& read, TensorType type, GgufWriter& writer) {
  int64_t values = 1;
  for (const int64_t size : weight.shape) values *= size;
  std::vector<float> merged(values);
  RETURN_IF_ERROR(read(weight, merged));
  if (weight.permuted_heads > 0) {
    std::vector<float> reordered(values);
    RETURN_IF_ERROR(PermuteHfToGguf(std::as_bytes(std::span(merged)),
                                    std::as_writable_bytes(std::span(reordered)),
                                    weight.permuted_heads, config.head_dim));
    merged.swap(reordered);
  }
  std::vector<std::byte> encoded(BytesOf(type, values));
  RETURN_IF_ERROR(WithContext(QuantizeRows(type, merged, weight.shape.back(), encoded),
                              "tensor " + weight.gguf_name));
  return writer.AppendData(encoded);
}

// A tensor of the file to be: a weight, or one that the base has beside them (rope_freqs).
struct Part {
  const WeightSpec* weight = nullptr;
  const GgufTensor* copied = nullptr;
};

// The base's tensors in its order, then the weights that it does not list.
std::vector<Part> PartsOf(const GgufFile& base, const std::vector<WeightSpec>& weights) {
  std::map<std::string_view, const WeightSpec*> by_name;
  for (const WeightSpec& weight : weights) by_name[weight.gguf_name] = &weight;
  std::vector<Part> parts;
  for (const GgufTensor& tensor : base.tensors()) {
    const auto weight = by_name.find(tensor.name);
    parts.push_back(weight == by_name.end() ? Part{.copied = &tensor}
                                            : Part{.weight = weight->second});
  }
  for (const WeightSpec& weight : weights) {
    if (base.FindTensor(weight.gguf_name) == nullptr) parts.push_back({.weight = &weight});
  }
  return parts;
}

}  // namespace

absl::Status ExportGguf(const GgufFile& base, const ModelConfig& config, const WeightReader& read,
                        const GgufExportOptions& options, const std::filesystem::path& path) {
  const std::vector<WeightSpec> weights = WeightsOf(config);
  const std::vector<Part> parts = PartsOf(base, weights);
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufWriter> writer, GgufWriter::Create(path));
  RETURN_IF_ERROR(AddMetadata(base, options, *writer));
  const auto type_of = [&](const WeightSpec& weight) {
    return StoredTypeOf(options.type, weight, config);
  };
  for (const auto& [weight, copied] : parts) {
    RETURN_IF_ERROR(copied != nullptr
                        ? writer->AddTensor(copied->name, copied->type, copied->shape)
                        : writer->AddTensor(weight->gguf_name, type_of(*weight), weight->shape));
  }
  for (const auto& [weight, copied] : parts) {
    RETURN_IF_ERROR(copied != nullptr
                        ? writer->AppendData(copied->data)
                        : WriteWeight(*weight, config, read, type_of(*weight), *writer));
  }
  return writer->Finish();
}

}  // namespace crossover::llm
