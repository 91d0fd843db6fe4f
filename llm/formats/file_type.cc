#include "llm/formats/file_type.h"

#include <array>
#include <charconv>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"

namespace crossover::llm {
namespace {

struct FileFacts {
  GgufFileType type;
  std::string_view name;
  TensorType matrices;
};

constexpr std::array<FileFacts, 8> kFiles = {{
    {GgufFileType::kF32, "F32", TensorType::kF32},
    {GgufFileType::kF16, "F16", TensorType::kF16},
    {GgufFileType::kBf16, "BF16", TensorType::kBf16},
    {GgufFileType::kQ8_0, "Q8_0", TensorType::kQ8_0},
    {GgufFileType::kQ4_0, "Q4_0", TensorType::kQ4_0},
    {GgufFileType::kQ4_K_M, "Q4_K_M", TensorType::kQ4_K},
    {GgufFileType::kQ5_K_M, "Q5_K_M", TensorType::kQ5_K},
    {GgufFileType::kQ6_K, "Q6_K", TensorType::kQ6_K},
}};

const FileFacts& FileFactsOf(GgufFileType type) {
  for (const FileFacts& facts : kFiles) {
    if (facts.type == type) return facts;
  }
  return kFiles[0];  // Unreachable: every enumerator is in the table.
}

bool Divides(TensorType type, int64_t row) { return row % BlockSizeOf(type).values == 0; }

TensorType Fitting(TensorType type, int64_t row) {
  if (Divides(type, row)) return type;
  if (type == TensorType::kQ4_K) type = TensorType::kQ5_0;
  if (type == TensorType::kQ5_K) type = TensorType::kQ5_1;
  if (type == TensorType::kQ6_K) type = TensorType::kQ8_0;
  return Divides(type, row) ? type : TensorType::kF16;
}

TensorType OutputType(TensorType matrices, int64_t row) {
  if (!Divides(matrices, row)) return TensorType::kQ8_0;
  return matrices == TensorType::kQ8_0 ? matrices : TensorType::kQ6_K;
}

// llama.cpp's use_more_bits: the first and last eighth of the layers and every third between.
bool IsSensitive(int64_t layer, int64_t layers) {
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

// The layer of "blk.12.attn_v.weight"; -1 outside the blocks.
int64_t LayerOf(std::string_view gguf_name) {
  constexpr std::string_view kBlock = "blk.";
  if (!gguf_name.starts_with(kBlock)) return -1;
  int64_t layer = -1;
  gguf_name.remove_prefix(kBlock.size());
  std::from_chars(gguf_name.data(), gguf_name.data() + gguf_name.size(), layer);
  return layer;
}

// What llama.cpp takes for a model of 70 B parameters: eight query heads share a value, so that it
// pays to keep values finer.
bool Is70B(const ModelConfig& config) {
  return config.layers == 80 &&
         (config.architecture == Architecture::kQwen2 ||
          (config.architecture == Architecture::kLlama && config.heads != config.kv_heads));
}

}  // namespace

std::string_view NameOf(GgufFileType type) { return FileFactsOf(type).name; }

std::optional<GgufFileType> GgufFileTypeOf(std::string_view name) {
  for (const FileFacts& facts : kFiles) {
    if (absl::EqualsIgnoreCase(ToAbsl(facts.name), ToAbsl(name))) return facts.type;
  }
  return std::nullopt;
}

std::string GgufFileTypeNames() {
  return absl::StrJoin(kFiles, ", ",
                       [](std::string* out, const FileFacts& facts) { out->append(facts.name); });
}

TensorType StoredTypeOf(GgufFileType file, const WeightSpec& weight, const ModelConfig& config) {
  const TensorType matrices = FileFactsOf(file).matrices;
  if (weight.shape.size() == 1) return TensorType::kF32;
  if (BlockSizeOf(matrices).values == 1) return matrices;
  const int64_t row = weight.shape.back();
  const std::string_view output = config.tied_embeddings ? "token_embd.weight" : "output.weight";
  if (weight.gguf_name == output) return Fitting(OutputType(matrices, row), row);
  const bool medium = file == GgufFileType::kQ4_K_M || file == GgufFileType::kQ5_K_M;
  const bool value = weight.gguf_name.ends_with(".attn_v.weight");
  const bool down = weight.gguf_name.ends_with(".ffn_down.weight");
  TensorType type = matrices;
  if (medium && (value || down) && IsSensitive(LayerOf(weight.gguf_name), config.layers)) {
    type = TensorType::kQ6_K;
  }
  if (value && type == TensorType::kQ4_K && Is70B(config)) type = TensorType::kQ5_K;
  return Fitting(type, row);
}

}  // namespace crossover::llm
