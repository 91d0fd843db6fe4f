// PEFT LoRA adapters on disk: a folder of adapter_config.json and adapter_model.safetensors
// (huggingface/peft).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/safetensors.h"

namespace crossover::llm {

inline constexpr char kAdapterConfigFile[] = "adapter_config.json";
inline constexpr char kAdapterTensorsFile[] = "adapter_model.safetensors";

// The part of PEFT's LoraConfig that changes what is computed.
struct LoraConfig {
  int64_t rank = 8;
  double alpha = 8;
  bool rslora = false;  // Scale is alpha / sqrt(rank) instead of alpha / rank.
  // Per-module values; a key is a module name, a suffix of one or a regular expression. First match
  // counts.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  // Sorted. Empty if the file gives a regular expression: the tensors say which modules are
  // adapted.
  std::vector<std::string> target_modules;
  double dropout = 0;
  // DoRA: W' = m (W + scale B A) / ||W + scale B A||, the norm by row.
  bool dora = false;
  // layers_to_transform; empty: all, or as the tensors say.
  std::vector<int64_t> layers;
  // Lineage only: a model name or digest, never a path.
  std::string base_model;

  // Rank and scale of one module ("model.layers.0.self_attn.q_proj"). W' = W + scale * B A.
  int64_t RankOf(std::string_view module) const;
  double ScaleOf(std::string_view module) const;
  // Whether a pattern's key means this module: its name or the end of it after a dot.
  static bool Matches(const std::string& key, std::string_view module);
};

// Reads adapter_config.json. A key that changes the mathematics in a way this project does not
// compute (LoRA bias, PiSSA-initialised bases, …) is refused by name, and so is an unknown
// key unless it is null, false, empty or PEFT's default: Unimplemented MODEL_UNSUPPORTED. Broken
// JSON or wrong types: InvalidArgument FORMAT_INVALID. `path` is for messages.
absl::StatusOr<LoraConfig> ParseLoraConfig(std::string_view json, std::string_view path);

// The text of adapter_config.json as PEFT loads it: keys sorted, indent 2, target modules sorted,
// no time and no path, so equal configs give equal bytes.
std::string LoraConfigJson(const LoraConfig& config);

// The text of an adapter_config.json with this base model instead of the name or path that whoever
// trained the adapter gave it; the other keys stay as they are. Errors of ParseLoraConfig.
absl::StatusOr<std::string> WithBaseModel(std::string_view json, std::string_view path,
                                          const std::string& base_model);

// One adapted linear layer: A [rank, in], B [out, rank], row-major, and DoRA's magnitudes.
struct LoraModule {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  double scale = 0;
  const SafetensorsTensor* a = nullptr;  // Borrowed from PeftAdapter::file.
  const SafetensorsTensor* b = nullptr;
  const SafetensorsTensor* magnitude = nullptr;  // [out]; null: no DoRA.

  int64_t rank() const { return a->shape[0]; }
  int64_t in() const { return a->shape[1]; }
  int64_t out() const { return b->shape[0]; }
};

struct PeftAdapter {
  LoraConfig config;
  std::shared_ptr<const SafetensorsFile> file;
  std::vector<LoraModule> modules;  // Sorted by name.
};

// Reads a folder. Each tensor must be the A or B of a pair with the rank the config gives it, or,
// with use_dora, the magnitudes of one; anything else is refused by name, and so is a pickle
// (adapter_model.bin) in place of the tensors.
absl::StatusOr<PeftAdapter> ReadPeftAdapter(const std::filesystem::path& folder);

// One layer to write; spans are fp32, row-major, and borrowed.
struct LoraWeights {
  std::string module;
  int64_t rank = 0;
  int64_t in = 0;
  int64_t out = 0;
  std::span<const float> a;          // [rank, in]
  std::span<const float> b;          // [out, rank]
  std::span<const float> magnitude;  // [out]; empty: no DoRA.
};

// Writes both files into `folder` (made if it does not exist), each atomically; equal input gives
// equal bytes.
absl::Status WritePeftAdapter(const std::filesystem::path& folder, const LoraConfig& config,
                              const std::vector<LoraWeights>& weights);

}  // namespace crossover::llm
