// The hyper-parameters of a decoder, from GGUF metadata or from Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/gguf_file.h"

namespace crossover::llm {

enum class Architecture {
  kLlama,  // Llama 2/3.x, SmolLM, SmolLM2, Mistral (GGUF knows Mistral as "llama", too)
  kQwen2,  // Qwen2, Qwen2.5: q, k and v have biases, GGUF stores q and k unpermuted
  kQwen3,  // Qwen3: a norm on each head of q and k, unpermuted like Qwen2
};

// "llama", "qwen2" or "qwen3": general.architecture of a GGUF file.
std::string_view NameOf(Architecture architecture);

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t context_length = 0;
  // 0: full attention. Otherwise a position sees this many positions, itself included.
  int64_t sliding_window = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  // Divides the inverse frequency of pair j: theta^(-2j/head_dim) / rope_divisors[j]. Empty: all 1.
  // Holds linear and llama3 scaling alike (head_dim / 2 values).
  std::vector<float> rope_divisors;
  // The output matrix is the embedding.
  bool tied_embeddings = true;
  // q, k and v projections have biases.
  bool qkv_bias = false;
  // Each head of q and k is normalised before RoPE.
  bool qk_norm = false;

  // Checks the metadata, and every tensor's presence and shape against it, so that a loader need
  // not. InvalidArgument FORMAT_INVALID or Unimplemented MODEL_UNSUPPORTED (architecture,
  // YaRN), naming file and key or tensor.
  static absl::StatusOr<ModelConfig> FromGguf(const GgufFile& file);

  // `json` is the text of config.json and `path` its name for messages. Accepts Transformers 4
  // (rope_theta, rope_scaling) and 5 (rope_parameters). Biases and tying follow the architecture
  // and its flags.
  static absl::StatusOr<ModelConfig> FromHfJson(std::string_view json, std::string_view path);
  // The same of the folder's config.json. Errors of ReadTextFile, too.
  static absl::StatusOr<ModelConfig> FromHfFolder(const std::filesystem::path& folder);
};

// The divisors of Llama 3.1's frequency scaling, head_dim / 2 values (transformers,
// _compute_llama3_parameters).
std::vector<float> Llama3RopeDivisors(int64_t head_dim, double theta, double factor,
                                      double low_frequency_factor, double high_frequency_factor,
                                      double original_context);

}  // namespace crossover::llm
