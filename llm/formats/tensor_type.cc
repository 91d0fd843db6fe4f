#include "llm/formats/tensor_type.h"

#include <array>
#include <utility>

namespace crossover::llm {
namespace {

struct TypeFacts {
  TensorType type;
  std::string_view name;
  BlockSize block;
};

// Layouts: ggml-common.h.
constexpr std::array<TypeFacts, 11> kTypes = {{
    {TensorType::kF32, "F32", {1, 4}},
    {TensorType::kF16, "F16", {1, 2}},
    {TensorType::kQ4_0, "Q4_0", {32, 18}},
    {TensorType::kQ4_1, "Q4_1", {32, 20}},
    {TensorType::kQ5_0, "Q5_0", {32, 22}},
    {TensorType::kQ5_1, "Q5_1", {32, 24}},
    {TensorType::kQ8_0, "Q8_0", {32, 34}},
    {TensorType::kQ4_K, "Q4_K", {256, 144}},
    {TensorType::kQ5_K, "Q5_K", {256, 176}},
    {TensorType::kQ6_K, "Q6_K", {256, 210}},
    {TensorType::kBf16, "BF16", {1, 2}},
}};

constexpr std::array<std::pair<uint32_t, std::string_view>, 26> kUnread = {{
    {9, "Q8_1"},           {10, "Q2_K"},    {11, "Q3_K"},  {15, "Q8_K"},   {16, "IQ2_XXS"},
    {17, "IQ2_XS"},        {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
    {22, "IQ2_S"},         {23, "IQ4_XS"},  {24, "I8"},    {25, "I16"},    {26, "I32"},
    {27, "I64"},           {28, "F64"},     {29, "IQ1_M"}, {34, "TQ1_0"},  {35, "TQ2_0"},
    {39, "MXFP4"},         {40, "NVFP4"},   {41, "Q1_0"},  {42, "Q2_0"},   {4, "Q4_2 (removed)"},
    {5, "Q4_3 (removed)"},
}};

const TypeFacts& FactsOf(TensorType type) {
  for (const TypeFacts& facts : kTypes) {
    if (facts.type == type) return facts;
  }
  return kTypes[0];  // Unreachable: every enumerator is in the table.
}

}  // namespace

BlockSize BlockSizeOf(TensorType type) { return FactsOf(type).block; }

std::string_view NameOf(TensorType type) { return FactsOf(type).name; }

std::optional<TensorType> TensorTypeFromGgml(uint32_t id) {
  for (const TypeFacts& facts : kTypes) {
    if (static_cast<uint32_t>(facts.type) == id) return facts.type;
  }
  return std::nullopt;
}

std::string_view GgmlTypeName(uint32_t id) {
  for (const TypeFacts& facts : kTypes) {
    if (static_cast<uint32_t>(facts.type) == id) return facts.name;
  }
  for (const auto& [known, name] : kUnread) {
    if (known == id) return name;
  }
  return "unknown";
}

}  // namespace crossover::llm
