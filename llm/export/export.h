// Writes an adapter, or its base merged with it, for other programs.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/civil_time.h"
#include "llm/formats/file_type.h"

namespace crossover::llm {

// A folder of one of these kinds:
//   GGUF model     model.gguf (weights, tokenizer, chat template, lineage), Modelfile
//   GGUF adapter   adapter.gguf, Modelfile
//   safetensors    config.json, generation_config.json, model.safetensors or shards with an index,
//                  tokenizer.json, tokenizer_config.json, chat_template.jinja, Modelfile
struct ExportFormat {
  enum class Kind { kGguf, kGgufAdapter, kSafetensors };
  Kind kind = Kind::kGguf;
  GgufFileType type = GgufFileType::kF16;  // Of kGguf.
};

struct ExportOptions {
  // What it is made of: string metadata and comments, for example {"crossover.adapter",
  // "sha256:…"}. Nothing that differs between equal exports.
  std::vector<std::pair<std::string, std::string>> lineage;
  // Frozen into the Modelfile's template, where the model's prints a date.
  std::optional<absl::CivilDay> date;
  uint64_t shard_bytes = 5'000'000'000;
};

// `base` is the GGUF file or Hugging Face folder (config.json, safetensors, tokenizer.json) that
// the PEFT folder `adapter` was trained on; `folder` appears whole or not at all. A folder's own
// configuration and tokenizer files go into safetensors exports, with the tokens that end an answer
// put in; into a GGUF model what GGUF can say of them (OpenMetadata). Streams: needs memory for the
// adapter and one matrix. Equal input gives equal bytes. Errors of MergedWeights::Open,
// ReadBaseText, OpenMetadata, ExportGguf, ExportSafetensors, ExportGgufAdapter, HfConfigJson,
// BaseText::Chat and WriteFolder.
absl::Status ExportAdapter(const std::filesystem::path& base, const std::filesystem::path& adapter,
                           const ExportFormat& format, const ExportOptions& options,
                           const std::filesystem::path& folder);

}  // namespace crossover::llm
