#include "llm/lora/adapter.h"

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/safetensors.h"
#include "llm/lora/folder.h"
#include "llm/model/random.h"

namespace crossover::llm {

namespace {

absl::Status Mismatch(const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, "ADAPTER_MISMATCH", message);
}

}  // namespace

absl::StatusOr<LoraAdapter> ReadAdapter(const std::filesystem::path& folder,
                                        const ModelConfig& model) {
  ASSIGN_OR_RETURN(const PeftAdapter peft, ReadPeftAdapter(folder));
  std::map<std::string, const LoraModule*> modules;
  for (const LoraModule& module : peft.modules) modules[module.module] = &module;

  std::vector<LoraLayout::Spec> specs;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    for (const Target target : kAllTargets) {
      const auto found = modules.find(ModuleName({.layer = layer, .target = target}));
      if (found != modules.end())
        specs.push_back({layer, target, found->second->rank(), found->second->scale,
                         found->second->magnitude != nullptr});
    }
  }
  LoraAdapter adapter{peft.config, LoraLayout(model, std::move(specs)), {}};
  adapter.values.resize(adapter.layout.size());
  for (const LoraMatrix& matrix : adapter.layout.matrices()) {
    const auto found = modules.find(ModuleName(matrix));
    const LoraModule& module = *found->second;
    if (module.in() != matrix.in || module.out() != matrix.out) {
      return Mismatch(absl::StrCat(folder.string(), ": ", module.module, " is ", module.in(),
                                   " -> ", module.out(), " but the base model's is ", matrix.in,
                                   " -> ", matrix.out,
                                   "; the adapter belongs to another base model"));
    }
    const std::span<float> values(adapter.values);
    RETURN_IF_ERROR(ToFloats(*module.a, values.subspan(matrix.a_offset, matrix.a_size())));
    RETURN_IF_ERROR(ToFloats(*module.b, values.subspan(matrix.b_offset, matrix.b_size())));
    if (matrix.scaled()) {
      RETURN_IF_ERROR(ToFloats(*module.magnitude, values.subspan(matrix.m_offset, matrix.out)));
    }
    modules.erase(found);
  }
  if (!modules.empty()) {
    return Mismatch(absl::StrCat(folder.string(), ": the base model has no linear layer ",
                                 modules.begin()->first));
  }
  return adapter;
}

absl::Status WriteAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                          const LoraLayout& layout, std::span<const float> values) {
  std::vector<LoraWeights> weights;
  for (const LoraMatrix& matrix : layout.matrices()) {
    weights.push_back({.module = ModuleName(matrix),
                       .rank = matrix.rank,
                       .in = matrix.in,
                       .out = matrix.out,
                       .a = values.subspan(matrix.a_offset, matrix.a_size()),
                       .b = values.subspan(matrix.b_offset, matrix.b_size()),
                       .magnitude = matrix.scaled() ? values.subspan(matrix.m_offset, matrix.out)
                                                    : std::span<const float>()});
  }
  return WriteFolder(folder, static_cast<int64_t>(values.size_bytes()),
                     [&](const std::filesystem::path& temporary) {
                       return WritePeftAdapter(temporary, config, weights);
                     });
}

std::vector<float> InitialValues(const LoraLayout& layout, uint64_t seed) {
  std::vector<float> values(layout.size(), 0.0f);
  for (const LoraMatrix& matrix : layout.matrices()) {
    const double bound = 1 / std::sqrt(static_cast<double>(matrix.in));
    const uint64_t stream =
        matrix.layer * kAllTargets.size() + static_cast<uint64_t>(matrix.target);
    for (int64_t i = 0; i < matrix.a_size(); ++i) {
      values[matrix.a_offset + i] =
          static_cast<float>((2 * RandomUniform(seed, stream, i) - 1) * bound);
    }
  }
  return values;
}

}  // namespace crossover::llm
