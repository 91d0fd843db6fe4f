#include "llm/export/export.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/chat/chat_template.h"
#include "llm/export/modelfile.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/dequantize.h"
#include "llm/formats/gguf_adapter.h"
#include "llm/formats/gguf_export.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/hf_export.h"
#include "llm/formats/peft.h"
#include "llm/lora/folder.h"
#include "llm/lora/merge.h"
#include "llm/tokenizer/hf_files.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {
namespace {

constexpr char kModelFile[] = "model.gguf";
constexpr char kAdapterFile[] = "adapter.gguf";

int64_t ValuesOf(const WeightSpec& weight) {
  int64_t values = 1;
  for (const int64_t size : weight.shape) values *= size;
  return values;
}

// Of the weights; what comes with them is small beside.
int64_t EstimatedBytes(const ModelConfig& config, const ExportFormat& format) {
  int64_t bytes = 0;
  if (format.kind == ExportFormat::Kind::kGgufAdapter) return bytes;
  for (const WeightSpec& weight : WeightsOf(config)) {
    const TensorType type = format.kind == ExportFormat::Kind::kSafetensors
                                ? TensorType::kBf16
                                : StoredTypeOf(format.type, weight, config);
    bytes += BytesOf(type, ValuesOf(weight));
  }
  return bytes;
}

// One export on its way.
class Exporter {
 public:
  Exporter(const ExportOptions& options, const std::filesystem::path& folder)
      : options_(options), folder_(folder) {}

  absl::Status WriteGguf(const MergedWeights& merged, GgufFileType type) const {
    RETURN_IF_ERROR(ExportGguf(merged.base(), merged.reader(),
                               {.type = type, .lineage = options_.lineage}, folder_ / kModelFile));
    return WriteModelfile(merged.base(), merged.config(), {.from = absl::StrCat("./", kModelFile)});
  }

  absl::Status WriteGgufAdapter(const MergedWeights& merged, const PeftAdapter& adapter) const {
    RETURN_IF_ERROR(ExportGgufAdapter(merged.config(), adapter, {.lineage = options_.lineage},
                                      folder_ / kAdapterFile));
    // The base is the reader's to name: Ollama wants one of its own models or a file.
    ASSIGN_OR_RETURN(const std::string base,
                     merged.base().GetStringOr("general.name", adapter.config.base_model));
    return WriteModelfile(
        merged.base(), merged.config(),
        {.from =
             base.empty() || base.find_first_of(" \n") != std::string::npos ? "./base.gguf" : base,
         .adapter = absl::StrCat("./", kAdapterFile)});
  }

  absl::Status WriteSafetensorsFolder(const MergedWeights& merged) const {
    SafetensorsExportOptions tensors{.shard_bytes = options_.shard_bytes};
    for (const auto& [key, value] : options_.lineage) tensors.metadata[key] = value;
    RETURN_IF_ERROR(ExportSafetensors(merged.config(), merged.reader(), tensors, folder_));
    ASSIGN_OR_RETURN(const Tokenizer::Parts parts, Tokenizer::PartsOfGguf(merged.base()));
    ASSIGN_OR_RETURN(const std::string jinja,
                     merged.base().GetStringOr("tokenizer.chat_template", ""));
    ASSIGN_OR_RETURN(const auto chat, ChatOf(merged.base()));
    const HfTokenIds ids{.bos = parts.bos_id, .ends = chat->stop_ids()};
    ASSIGN_OR_RETURN(const std::string config, HfConfigJson(merged.config(), ids));
    RETURN_IF_ERROR(Write("config.json", config));
    RETURN_IF_ERROR(Write("generation_config.json", HfGenerationConfigJson(ids)));
    RETURN_IF_ERROR(Write("tokenizer.json", TokenizerJson(parts)));
    RETURN_IF_ERROR(Write("tokenizer_config.json",
                          TokenizerConfigJson(parts, jinja, merged.config().context_length)));
    if (!jinja.empty()) RETURN_IF_ERROR(Write("chat_template.jinja", jinja));
    return WriteModelfile(merged.base(), merged.config(), {.from = "."});
  }

 private:
  absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatOf(const GgufFile& base) const {
    ASSIGN_OR_RETURN(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::FromGguf(base));
    ChatTemplateOptions chat;
    if (options_.date) chat.date = *options_.date;
    return ChatTemplate::FromGguf(base, std::move(tokenizer), chat);
  }

  absl::Status Write(const char* name, std::string_view text) const {
    return WriteFileAtomically(folder_ / name, text);
  }

  absl::Status WriteModelfile(const GgufFile& base, const ModelConfig& config,
                              ModelfileOptions modelfile) const {
    ASSIGN_OR_RETURN(const auto chat, ChatOf(base));
    modelfile.context_length = config.context_length;
    modelfile.lineage = options_.lineage;
    return Write("Modelfile", ModelfileText(*chat, modelfile));
  }

  const ExportOptions& options_;
  const std::filesystem::path& folder_;
};

}  // namespace

absl::Status ExportAdapter(const std::filesystem::path& base_gguf,
                           const std::filesystem::path& adapter, const ExportFormat& format,
                           const ExportOptions& options, const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const std::unique_ptr<const MergedWeights> merged,
                   MergedWeights::Open(base_gguf, adapter));
  return WriteFolder(folder, EstimatedBytes(merged->config(), format),
                     [&](const std::filesystem::path& temporary) -> absl::Status {
                       const Exporter exporter(options, temporary);
                       switch (format.kind) {
                         case ExportFormat::Kind::kGguf:
                           return exporter.WriteGguf(*merged, format.type);
                         case ExportFormat::Kind::kGgufAdapter: {
                           ASSIGN_OR_RETURN(const PeftAdapter peft, ReadPeftAdapter(adapter));
                           return exporter.WriteGgufAdapter(*merged, peft);
                         }
                         case ExportFormat::Kind::kSafetensors:
                           return exporter.WriteSafetensorsFolder(*merged);
                       }
                       return absl::OkStatus();
                     });
}

}  // namespace crossover::llm
