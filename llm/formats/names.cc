#include "llm/formats/names.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"

namespace crossover::llm {
namespace {

using NamePair = std::pair<std::string_view, std::string_view>;  // Hugging Face, GGUF

constexpr std::array<NamePair, 3> kGlobal = {{
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
}};

constexpr std::array<NamePair, 11> kInBlock = {{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
}};

constexpr std::string_view kHfBlock = "model.layers.";
constexpr std::string_view kGgufBlock = "blk.";

// Splits "….weight" or "….bias"; empty suffix if it is neither.
std::pair<std::string_view, std::string_view> SplitSuffix(std::string_view name) {
  for (const std::string_view suffix : {std::string_view(".weight"), std::string_view(".bias")}) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) {
      return {name.substr(0, name.size() - suffix.size()), suffix};
    }
  }
  return {name, {}};
}

std::string_view Other(const NamePair& pair, bool from_hf) {
  return from_hf ? pair.second : pair.first;
}
std::string_view This(const NamePair& pair, bool from_hf) {
  return from_hf ? pair.first : pair.second;
}

std::optional<std::string> Translate(std::string_view name, bool from_hf) {
  const auto [stem, suffix] = SplitSuffix(name);
  if (suffix.empty()) return std::nullopt;
  for (const NamePair& pair : kGlobal) {
    if (stem == This(pair, from_hf))
      return absl::StrCat(ToAbsl(Other(pair, from_hf)), ToAbsl(suffix));
  }
  const std::string_view prefix = from_hf ? kHfBlock : kGgufBlock;
  const std::string_view other_prefix = from_hf ? kGgufBlock : kHfBlock;
  if (!stem.starts_with(prefix)) return std::nullopt;
  const std::string_view rest = stem.substr(prefix.size());
  const size_t dot = rest.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const std::string_view layer = rest.substr(0, dot);
  if (layer.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  for (const NamePair& pair : kInBlock) {
    if (rest.substr(dot + 1) != This(pair, from_hf)) continue;
    return absl::StrCat(ToAbsl(other_prefix), ToAbsl(layer), ".", ToAbsl(Other(pair, from_hf)),
                        ToAbsl(suffix));
  }
  return std::nullopt;
}

WeightSpec Spec(std::string hf_name, std::vector<int64_t> shape, int64_t permuted_heads = 0) {
  std::string gguf_name = GgufNameOfHf(hf_name).value_or("");
  return {std::move(hf_name), std::move(gguf_name), std::move(shape), permuted_heads};
}

}  // namespace

std::optional<std::string> GgufNameOfHf(std::string_view hf_name) {
  return Translate(hf_name, true);
}

std::optional<std::string> HfNameOfGguf(std::string_view gguf_name) {
  return Translate(gguf_name, false);
}

std::vector<LinearSpec> LinearsOf(const ModelConfig& config, int64_t layer) {
  const int64_t hidden = config.hidden_size;
  const int64_t wide = config.intermediate_size;
  const int64_t q = config.heads * config.head_dim;
  const int64_t kv = config.kv_heads * config.head_dim;
  const std::string attention = absl::StrCat(ToAbsl(kHfBlock), layer, ".self_attn.");
  const std::string mlp = absl::StrCat(ToAbsl(kHfBlock), layer, ".mlp.");
  return {
      {attention + "q_proj", "q_proj", hidden, q},    {attention + "k_proj", "k_proj", hidden, kv},
      {attention + "v_proj", "v_proj", hidden, kv},   {attention + "o_proj", "o_proj", q, hidden},
      {mlp + "gate_proj", "gate_proj", hidden, wide}, {mlp + "up_proj", "up_proj", hidden, wide},
      {mlp + "down_proj", "down_proj", wide, hidden},
  };
}

std::vector<WeightSpec> WeightsOf(const ModelConfig& config) {
  const bool permuted = config.architecture == Architecture::kLlama;
  std::vector<WeightSpec> weights;
  weights.push_back(Spec("model.embed_tokens.weight", {config.vocab_size, config.hidden_size}));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string block = absl::StrCat(ToAbsl(kHfBlock), layer, ".");
    weights.push_back(Spec(block + "input_layernorm.weight", {config.hidden_size}));
    for (const LinearSpec& linear : LinearsOf(config, layer)) {
      int64_t heads = 0;
      if (permuted && linear.target == "q_proj") heads = config.heads;
      if (permuted && linear.target == "k_proj") heads = config.kv_heads;
      weights.push_back(Spec(linear.hf_module + ".weight", {linear.out, linear.in}, heads));
      const bool qkv =
          linear.target == "q_proj" || linear.target == "k_proj" || linear.target == "v_proj";
      if (qkv && config.qkv_bias) {
        weights.push_back(Spec(linear.hf_module + ".bias", {linear.out}, heads));
      }
    }
    if (config.qk_norm) {
      for (const char* norm : {"self_attn.q_norm.weight", "self_attn.k_norm.weight"}) {
        weights.push_back(Spec(block + norm, {config.head_dim}));
      }
    }
    weights.push_back(Spec(block + "post_attention_layernorm.weight", {config.hidden_size}));
  }
  weights.push_back(Spec("model.norm.weight", {config.hidden_size}));
  if (!config.tied_embeddings) {
    weights.push_back(Spec("lm_head.weight", {config.vocab_size, config.hidden_size}));
  }
  return weights;
}

}  // namespace crossover::llm
