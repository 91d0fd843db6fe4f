#include "llm/formats/gguf_adapter.h"

#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/file_type.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/names.h"
#include "llm/formats/permute.h"

namespace crossover::llm {
namespace {

// One pair and the base's weight that it adapts.
struct Pair {
  const LoraModule* module;
  const WeightSpec* weight;
};

absl::Status Mismatch(const LoraModule& module, std::string_view problem) {
  return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH",
               absl::StrCat("module '", module.module, "' ", ToAbsl(problem)));
}

absl::StatusOr<std::vector<Pair>> PairsOf(const std::vector<WeightSpec>& weights,
                                          const PeftAdapter& adapter) {
  std::map<std::string_view, const WeightSpec*> by_name;
  for (const WeightSpec& weight : weights) by_name[weight.hf_name] = &weight;
  std::vector<Pair> pairs;
  for (const LoraModule& module : adapter.modules) {
    if (module.magnitude != nullptr) {
      return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                   "a GGUF adapter cannot hold the magnitudes of DoRA; export the merged model");
    }
    const auto found = by_name.find(module.module + ".weight");
    if (found == by_name.end()) return Mismatch(module, "is not in the base model");
    const std::vector<int64_t>& shape = found->second->shape;
    if (shape != std::vector<int64_t>{module.out(), module.in()}) {
      return Mismatch(module,
                      absl::StrCat("adapts a ", module.out(), " x ", module.in(),
                                   " layer; the base's is ", shape.front(), " x ", shape.back()));
    }
    pairs.push_back({&module, found->second});
  }
  return pairs;
}

// The alpha that serves most: the first module's that does something.
double AlphaOf(const PeftAdapter& adapter) {
  for (const LoraModule& module : adapter.modules) {
    if (module.scale != 0) return module.scale * static_cast<double>(module.rank());
  }
  return 1;
}

absl::StatusOr<std::vector<float>> ReadA(const Pair& pair) {
  std::vector<float> a(pair.module->rank() * pair.module->in());
  RETURN_IF_ERROR(ToFloats(*pair.module->a, a));
  return a;
}

absl::StatusOr<std::vector<float>> ReadB(const Pair& pair, double alpha, int64_t head_dim) {
  const LoraModule& module = *pair.module;
  std::vector<float> b(module.out() * module.rank());
  RETURN_IF_ERROR(ToFloats(*module.b, b));
  const double wanted = module.scale * static_cast<double>(module.rank());
  if (wanted != alpha) {
    for (float& value : b) value = static_cast<float>(value * (wanted / alpha));
  }
  if (pair.weight->permuted_heads == 0) return b;
  std::vector<float> reordered(b.size());
  RETURN_IF_ERROR(PermuteHfToGguf(std::as_bytes(std::span<const float>(b)),
                                  std::as_writable_bytes(std::span(reordered)),
                                  pair.weight->permuted_heads, head_dim));
  return reordered;
}

absl::Status Append(const std::vector<float>& values, GgufWriter& writer) {
  return writer.AppendData(std::as_bytes(std::span(values)));
}

}  // namespace

absl::Status ExportGgufAdapter(const ModelConfig& config, const PeftAdapter& adapter,
                               const GgufAdapterOptions& options,
                               const std::filesystem::path& path) {
  const std::vector<WeightSpec> weights = WeightsOf(config);
  ASSIGN_OR_RETURN(const std::vector<Pair> pairs, PairsOf(weights, adapter));
  const double alpha = AlphaOf(adapter);
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufWriter> writer, GgufWriter::Create(path));
  RETURN_IF_ERROR(writer->AddString("general.architecture", NameOf(config.architecture)));
  RETURN_IF_ERROR(writer->AddString("general.type", "adapter"));
  RETURN_IF_ERROR(writer->AddString("adapter.type", "lora"));
  RETURN_IF_ERROR(writer->AddFloat32("adapter.lora.alpha", static_cast<float>(alpha)));
  RETURN_IF_ERROR(
      writer->AddUint32("general.file_type", static_cast<uint32_t>(GgufFileType::kF32)));
  for (const auto& [key, value] : options.lineage) RETURN_IF_ERROR(writer->AddString(key, value));
  for (const Pair& pair : pairs) {
    const LoraModule& module = *pair.module;
    const std::string& name = pair.weight->gguf_name;
    RETURN_IF_ERROR(
        writer->AddTensor(name + ".lora_a", TensorType::kF32, {module.rank(), module.in()}));
    RETURN_IF_ERROR(
        writer->AddTensor(name + ".lora_b", TensorType::kF32, {module.out(), module.rank()}));
  }
  for (const Pair& pair : pairs) {
    ASSIGN_OR_RETURN(const std::vector<float> a, ReadA(pair));
    RETURN_IF_ERROR(Append(a, *writer));
    ASSIGN_OR_RETURN(const std::vector<float> b, ReadB(pair, alpha, config.head_dim));
    RETURN_IF_ERROR(Append(b, *writer));
  }
  return writer->Finish();
}

}  // namespace crossover::llm
