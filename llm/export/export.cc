#include "llm/export/export.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/chat/base_text.h"
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
#include "llm/tokenizer/base_metadata.h"
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

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatOf(const std::filesystem::path& base,
                                                           const ExportOptions& options) {
  ASSIGN_OR_RETURN(const BaseText text, ReadBaseText(base));
  ChatTemplateOptions chat;
  if (options.date) chat.date = *options.date;
  return text.Chat(chat);
}

// The base's metadata; null where none are written, since GGUF cannot say every folder's tokenizer.
absl::StatusOr<std::shared_ptr<const GgufFile>> MetadataOf(const std::filesystem::path& base,
                                                           const ExportFormat& format) {
  if (IsHfFolder(base) && format.kind != ExportFormat::Kind::kGguf) return nullptr;
  return OpenMetadata(base);
}

// One export on its way. `metadata` and `chat` are the base's.
class Exporter {
 public:
  Exporter(const std::filesystem::path& base, const GgufFile* metadata, const ChatTemplate& chat,
           const MergedWeights& merged, const ExportOptions& options,
           const std::filesystem::path& folder)
      : base_(base),
        metadata_(metadata),
        chat_(chat),
        merged_(merged),
        options_(options),
        folder_(folder) {}

  absl::Status WriteGguf(GgufFileType type) const {
    RETURN_IF_ERROR(ExportGguf(*metadata_, merged_.config(), merged_.reader(),
                               {.type = type, .lineage = options_.lineage}, folder_ / kModelFile));
    return WriteModelfile({.from = absl::StrCat("./", kModelFile)});
  }

  absl::Status WriteGgufAdapter(const PeftAdapter& adapter) const {
    RETURN_IF_ERROR(ExportGgufAdapter(merged_.config(), adapter, {.lineage = options_.lineage},
                                      folder_ / kAdapterFile));
    // The base is the reader's to name: Ollama wants one of its own models or a file.
    std::string base = adapter.config.base_model;
    if (metadata_ != nullptr) {
      ASSIGN_OR_RETURN(base, metadata_->GetStringOr("general.name", base));
    }
    const bool named = !base.empty() && !base.starts_with("sha256:") &&
                       base.find_first_of(" \n") == std::string::npos;
    return WriteModelfile(
        {.from = named ? base : "./base.gguf", .adapter = absl::StrCat("./", kAdapterFile)});
  }

  absl::Status WriteSafetensorsFolder() const {
    SafetensorsExportOptions tensors{.shard_bytes = options_.shard_bytes};
    for (const auto& [key, value] : options_.lineage) tensors.metadata[key] = value;
    RETURN_IF_ERROR(ExportSafetensors(merged_.config(), merged_.reader(), tensors, folder_));
    const HfTokenIds ids{.bos = chat_.tokenizer().bos_id(), .ends = chat_.stop_ids()};
    RETURN_IF_ERROR(IsHfFolder(base_) ? WriteFilesOfTheBase(ids) : WriteFilesOfMetadata(ids));
    return WriteModelfile({.from = "."});
  }

 private:
  // A folder knows more than metadata say.
  absl::Status WriteFilesOfTheBase(const HfTokenIds& ids) const {
    for (const char* name : {"config.json", "generation_config.json"}) {
      const std::filesystem::path path = base_ / name;
      std::string json = "{}";
      if (std::filesystem::exists(path)) {
        ASSIGN_OR_RETURN(json, ReadTextFile(path));
      }
      ASSIGN_OR_RETURN(const std::string merged, MergedHfJson(json, path.string(), ids));
      RETURN_IF_ERROR(Write(name, merged));
    }
    return CopyTokenizerFiles(base_, folder_);
  }

  absl::Status WriteFilesOfMetadata(const HfTokenIds& ids) const {
    ASSIGN_OR_RETURN(const Tokenizer::Parts parts, Tokenizer::PartsOfGguf(*metadata_));
    ASSIGN_OR_RETURN(const std::string jinja,
                     metadata_->GetStringOr("tokenizer.chat_template", ""));
    ASSIGN_OR_RETURN(const std::string config, HfConfigJson(merged_.config(), ids));
    RETURN_IF_ERROR(Write("config.json", config));
    RETURN_IF_ERROR(Write("generation_config.json", HfGenerationConfigJson(ids)));
    RETURN_IF_ERROR(Write("tokenizer.json", TokenizerJson(parts)));
    RETURN_IF_ERROR(Write("tokenizer_config.json",
                          TokenizerConfigJson(parts, jinja, merged_.config().context_length)));
    if (jinja.empty()) return absl::OkStatus();
    return Write("chat_template.jinja", jinja);
  }

  absl::Status Write(const char* name, std::string_view text) const {
    return WriteFileAtomically(folder_ / name, text);
  }

  absl::Status WriteModelfile(ModelfileOptions modelfile) const {
    modelfile.context_length = merged_.config().context_length;
    modelfile.lineage = options_.lineage;
    return Write("Modelfile", ModelfileText(chat_, modelfile));
  }

  const std::filesystem::path& base_;
  const GgufFile* const metadata_;  // MetadataOf
  const ChatTemplate& chat_;
  const MergedWeights& merged_;
  const ExportOptions& options_;
  const std::filesystem::path& folder_;
};

}  // namespace

absl::Status ExportAdapter(const std::filesystem::path& base, const std::filesystem::path& adapter,
                           const ExportFormat& format, const ExportOptions& options,
                           const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(const std::unique_ptr<const MergedWeights> merged,
                   MergedWeights::Open(base, adapter));
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> metadata, MetadataOf(base, format));
  ASSIGN_OR_RETURN(const std::shared_ptr<const ChatTemplate> chat, ChatOf(base, options));
  return WriteFolder(folder, EstimatedBytes(merged->config(), format),
                     [&](const std::filesystem::path& temporary) -> absl::Status {
                       const Exporter exporter(base, metadata.get(), *chat, *merged, options,
                                               temporary);
                       switch (format.kind) {
                         case ExportFormat::Kind::kGguf:
                           return exporter.WriteGguf(format.type);
                         case ExportFormat::Kind::kGgufAdapter: {
                           ASSIGN_OR_RETURN(const PeftAdapter peft, ReadPeftAdapter(adapter));
                           return exporter.WriteGgufAdapter(peft);
                         }
                         case ExportFormat::Kind::kSafetensors:
                           return exporter.WriteSafetensorsFolder();
                       }
                       return absl::OkStatus();
                     });
}

}  // namespace crossover::llm
