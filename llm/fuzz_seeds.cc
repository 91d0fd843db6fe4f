// Writes small sound files as the fuzzers' first inputs: seeds_for_fuzzers CORPUS. A folder for
// each fuzzer; without them it would have to guess magic numbers and hashes.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "llm/formats/atomic_file.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/peft.h"
#include "llm/formats/safetensors.h"
#include "llm/formats/testing_model.h"
#include "llm/train/checkpoint.h"

namespace {

namespace fs = std::filesystem;
using namespace crossover::llm;

constexpr char kConfig[] = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
 "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16,
 "num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
 "rope_theta": 1e4, "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
 "high_freq_factor": 4, "original_max_position_embeddings": 64}, "tie_word_embeddings": true,
 "hidden_act": "silu", "attention_bias": false, "sliding_window": null})";

constexpr char kTokenizer[] = R"({"version": "1.0", "truncation": null, "padding": null,
 "added_tokens": [{"id": 3, "content": "<|end|>", "single_word": false, "lstrip": false,
 "rstrip": false, "normalized": false, "special": true}], "normalizer": {"type": "NFC"},
 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits",
 "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
 "use_regex": true}]}, "post_processor": null, "decoder": {"type": "ByteLevel",
 "add_prefix_space": true, "trim_offsets": true, "use_regex": true}, "model": {"type": "BPE",
 "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
 "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
 "vocab": {"a": 0, "b": 1, "ab": 2, "<|end|>": 3}, "merges": [["a", "b"]]}})";

constexpr char kChatMl[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr char kLlama3[] =
    "{%- set ns = namespace(x=0) %}{% for m in messages[::-1] %}{% if loop.first %}"
    "{{ date_string }}{% elif tools %}{{ tools | tojson(indent=2) }}{% else %}{% break %}{% endif "
    "%}"
    "{% endfor %}{% macro h(r) %}<|start_header_id|>{{ r }}<|end_header_id|>\n\n{% endmacro %}"
    "{% for m in messages %}{% set ns.x = ns.x + 1 %}{{ h(m['role']) + m['content'] | trim ~ "
    "'<|eot_id|>' }}{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments | items | list }}"
    "{% endif %}{% endfor %}{{ h('assistant') if add_generation_prompt }}";

constexpr char kSchema[] =
    R"({"type": "object", "properties": {"a": {"type": "string", "minLength": 1, "maxLength": 5},
 "b": {"type": "integer", "minimum": -3, "exclusiveMaximum": 120}, "c": {"enum": ["x", 1, null]},
 "d": {"type": "string", "pattern": "^[a-f]+$"}, "e": {"type": "string", "format": "date"},
 "f": {"type": "array", "items": {"$ref": "#/$defs/t"}, "minItems": 1, "maxItems": 3},
 "g": {"prefixItems": [{"type": "boolean"}], "items": false}}, "required": ["a"],
 "additionalProperties": {"type": "number", "minimum": 0}, "anyOf": [{"required": ["b"]}, true],
 "$defs": {"t": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"n":
 {"$ref": "#/$defs/t"}}, "required": ["n"]}]}}, "allOf": [{"properties": {"h": {}}}]})";

class Corpus {
 public:
  explicit Corpus(fs::path root) : root_(std::move(root)) {}

  fs::path File(const std::string& fuzzer, const std::string& name) {
    fs::create_directories(root_ / fuzzer);
    return root_ / fuzzer / ("seed_" + name);
  }

  void Text(const std::string& fuzzer, const std::string& name, const std::string& text) {
    std::ofstream(File(fuzzer, name), std::ios::binary) << text;
  }

 private:
  fs::path root_;
};

// The smallest sizes that fit each other: a fuzzer changes a byte of the header sooner.
ModelConfig Tiny(Architecture architecture) {
  ModelConfig config = SmallModel(architecture);
  config.hidden_size = config.intermediate_size = 8;
  config.layers = config.kv_heads = 1;
  config.heads = 2;
  config.head_dim = 4;
  config.vocab_size = 4;
  return config;
}

// Pieces with scores, as SentencePiece's vocabularies have them, and merges as GPT-2's have.
absl::Status WriteVocabularies(Corpus& corpus) {
  for (const std::string model : {"llama", "gpt2"}) {
    ASSIGN_OR_RETURN(const auto writer, GgufWriter::Create(corpus.File("tokenizer_gguf", model)));
    RETURN_IF_ERROR(writer->AddString("tokenizer.ggml.model", model));
    RETURN_IF_ERROR(writer->AddStrings("tokenizer.ggml.tokens",
                                       {"<unk>", "</s>", "<0x0A>", "a", "b", "ab", "aba"}));
    RETURN_IF_ERROR(writer->AddInts("tokenizer.ggml.token_type", {2, 3, 6, 1, 1, 1, 4}));
    RETURN_IF_ERROR(model == "llama"
                        ? writer->AddFloats("tokenizer.ggml.scores", {0, 0, 0, 0, 0, -1, -2})
                        : writer->AddStrings("tokenizer.ggml.merges", {"a b", "ab a"}));
    RETURN_IF_ERROR(writer->AddUint32("tokenizer.ggml.eos_token_id", 1));
    RETURN_IF_ERROR(writer->AddBool("tokenizer.ggml.add_space_prefix", true));
    RETURN_IF_ERROR(writer->Finish());
  }
  return absl::OkStatus();
}

absl::Status WriteSeeds(Corpus& corpus) {
  RETURN_IF_ERROR(WriteVocabularies(corpus));
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3}) {
    RETURN_IF_ERROR(WriteSmallModel(corpus.File("gguf", std::string(NameOf(architecture))),
                                    Tiny(architecture)));
  }
  const std::vector<float> values = {1, 2, 3, 4};
  RETURN_IF_ERROR(WriteSafetensors(corpus.File("safetensors", "two"),
                                   {{"a", Dtype::kF32, {2, 2}, std::as_bytes(std::span(values))},
                                    {"b", Dtype::kBf16, {8}, std::as_bytes(std::span(values))}},
                                   {{"format", "pt"}}));
  corpus.Text(
      "peft_config", "lora",
      LoraConfigJson({.rank = 4, .alpha = 8, .target_modules = {"q_proj"}, .base_model = "m"}));
  corpus.Text("peft_config", "model", kConfig);
  corpus.Text("tokenizer_json", "bpe", kTokenizer);
  corpus.Text("tokenizer_encode", "text", "ab  aa\n01 \u00fcber <|im_end|> \U0001F600");
  for (const std::string jinja : {kChatMl, kLlama3}) {
    corpus.Text("chat_template", jinja == kChatMl ? "chatml" : "llama3",
                jinja + std::string(1, '\0') + "hi" + std::string(1, '\0') + R"({"a": [1, "x"]})" +
                    std::string(1, '\0') + R"({"type": "object"})");
  }
  corpus.Text(
      "jinja", "expressions",
      "{% for k, v in x.items() if v is not none %}{{ loop.index ~ k | upper }}"
      "{{ v[1:-1] | tojson }}{% else %}{{ x | default('d') }}{% endfor %}{%- set a = [1, 2.5] + "
      "x.l %}{{ a | map('string') | join(',') }}{# c #}{% generation %}{{ x.s.split('a')[0] }}"
      "{% endgeneration %}" +
          std::string(1, '\0') + R"({"l": [1, "b"], "s": "banana", "n": null})");
  corpus.Text("constrain", "schema", std::string(1, '\0') + kSchema);
  corpus.Text("constrain", "regex", "\x01^(a|b\\d{2,3})*?[^x-z\\w]+\\u00e9.$");
  const fs::path folder = corpus.File("checkpoint", "folder");
  RETURN_IF_ERROR(WriteCheckpoint(folder, {.step = 1,
                                           .tokens_seen = 2,
                                           .last_loss = 0.5,
                                           .fingerprint = "xxh3:0",
                                           .adapter = values,
                                           .m = values,
                                           .v = values}));
  ASSIGN_OR_RETURN(const std::string state, ReadTextFile(folder / "state.json"));
  ASSIGN_OR_RETURN(const std::string tensors, ReadTextFile(folder / "state.safetensors"));
  corpus.Text("checkpoint", "whole", state + std::string(1, '\0') + tensors);
  fs::remove_all(folder);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: seeds_for_fuzzers CORPUS\n");
    return 2;
  }
  Corpus corpus{fs::path(argv[1])};
  fs::remove_all(fs::path(argv[1]) / "checkpoint" / "seed_folder");
  const absl::Status status = WriteSeeds(corpus);
  if (!status.ok()) std::fprintf(stderr, "seeds_for_fuzzers: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
