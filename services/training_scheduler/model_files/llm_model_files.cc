#include "services/training_scheduler/model_files/llm_model_files.h"

#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/chat/base_text.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/hf_folder.h"
#include "llm/formats/hf_listing.h"
#include "llm/formats/model_config.h"
#include "llm/formats/names.h"
#include "llm/formats/peft.h"
#include "llm/lora/adapter.h"
#include "llm/tokenizer/base_metadata.h"
#include "llm/tokenizer/hf_tokenizer.h"
#include "llm/tokenizer/to_gguf.h"

namespace crossover::scheduler {
namespace {

namespace fs = std::filesystem;

// Equal vocabularies, merges and special tokens give equal digests, whichever file they came in.
std::string TokenizerDigest(const llm::GgufFile& file) {
  Sha256 hash;
  for (const llm::GgufMetadata& entry : file.metadata()) {
    constexpr std::string_view kPrefix = "tokenizer.ggml.";
    if (entry.key.substr(0, kPrefix.size()) != kPrefix) continue;
    hash.Update(entry.key);
    hash.Update({reinterpret_cast<const char*>(entry.encoded.data()), entry.encoded.size()});
  }
  return hash.FinishDigest();
}

// That of a GGUF file with the same tokenizer. One that GGUF has no words for is known by its
// files.
absl::StatusOr<std::string> TokenizerDigestOfFolder(const fs::path& folder, int64_t vocab_size) {
  ASSIGN_OR_RETURN(const llm::HfTokenizer tokenizer, llm::ReadHfTokenizer(folder));
  std::string bytes;
  const std::unique_ptr<llm::GgufWriter> writer = llm::GgufWriter::ToMemory(folder.string(), bytes);
  const absl::Status said =
      llm::AddTokenizer(tokenizer, vocab_size, (folder / llm::kHfTokenizerFile).string(), *writer);
  if (said.ok()) {
    RETURN_IF_ERROR(writer->Finish());
    ASSIGN_OR_RETURN(const std::shared_ptr<const llm::GgufFile> file,
                     llm::GgufFile::Parse(std::as_bytes(std::span(bytes)), folder.string()));
    return TokenizerDigest(*file);
  }
  if (!absl::IsUnimplemented(said)) return said;
  Sha256 hash;
  for (const char* name : {llm::kHfTokenizerFile, "tokenizer_config.json"}) {
    const absl::StatusOr<std::string> text = llm::ReadTextFile(folder / name);
    if (absl::IsNotFound(text.status())) continue;
    RETURN_IF_ERROR(text.status());
    hash.Update(absl::StrCat(name, " ", text->size(), "\n", *text));
  }
  return hash.FinishDigest();
}

ModelVersion VersionOf(const llm::ModelConfig& config) {
  ModelVersion version;
  version.kind = ModelKind::kBase;
  version.architecture = std::string(llm::NameOf(config.architecture));
  version.hidden_size = config.hidden_size;
  version.context_length = config.context_length;
  return version;
}

std::string TemplateDigest(const std::string& own) { return own.empty() ? "" : DigestOf(own); }

// Sets `parameters`; every weight must be there.
absl::Status CountWeights(const llm::HfFolder& folder, int64_t& parameters) {
  for (const llm::WeightSpec& weight : llm::WeightsOf(folder.config())) {
    RETURN_IF_ERROR(folder.Weight(weight).status());
    int64_t values = 1;
    for (const int64_t size : weight.shape) values *= size;
    parameters += values;
  }
  return absl::OkStatus();
}

absl::StatusOr<llm::ModelConfig> ConfigOf(const fs::path& base) {
  if (!llm::IsHfFolder(base)) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(base));
    return llm::ModelConfig::FromGguf(*file);
  }
  return llm::ModelConfig::FromHfFolder(base);
}

// adapter_config.json is small; a limit as the model server's.
absl::StatusOr<std::string> ReadAdapterConfig(const fs::path& folder) {
  return llm::ReadTextFile(folder / llm::kAdapterConfigFile, size_t{16} << 20);
}

}  // namespace

absl::StatusOr<ModelVersion> LlmModelFiles::Inspect(const fs::path& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(path));
  ASSIGN_OR_RETURN(llm::ModelConfig config, llm::ModelConfig::FromGguf(*file));
  ASSIGN_OR_RETURN(std::string chat_template, file->GetStringOr("tokenizer.chat_template", ""));
  ModelVersion version = VersionOf(config);
  for (const llm::GgufTensor& tensor : file->tensors()) version.parameters += tensor.values();
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) {
    return absl::UnavailableError(path.string() + ": " + error.message());
  }
  version.bytes = static_cast<int64_t>(bytes);
  version.tokenizer_digest = TokenizerDigest(*file);
  version.template_digest = TemplateDigest(chat_template);
  return version;
}

absl::StatusOr<ModelFolder> LlmModelFiles::InspectFolder(const fs::path& folder) {
  ModelFolder found;
  ASSIGN_OR_RETURN(found.files, llm::HfModelFiles(folder));
  RETURN_IF_ERROR(llm::CheckHfLinks(folder, found.files));
  ASSIGN_OR_RETURN(const llm::BaseText text, llm::ReadBaseText(folder));
  RETURN_IF_ERROR(text.Chat().status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const llm::HfFolder> weights, llm::HfFolder::Open(folder));
  found.version = VersionOf(text.config);
  RETURN_IF_ERROR(CountWeights(*weights, found.version.parameters));
  ASSIGN_OR_RETURN(found.version.tokenizer_digest,
                   TokenizerDigestOfFolder(folder, text.config.vocab_size));
  found.version.template_digest = TemplateDigest(text.own_template ? text.jinja : "");
  return found;
}

absl::StatusOr<std::string> LlmModelFiles::BaseOfAdapter(const fs::path& folder) {
  ASSIGN_OR_RETURN(const std::string json, ReadAdapterConfig(folder));
  ASSIGN_OR_RETURN(llm::LoraConfig config,
                   llm::ParseLoraConfig(json, (folder / llm::kAdapterConfigFile).string()));
  return std::move(config.base_model);
}

absl::StatusOr<AdapterFolder> LlmModelFiles::InspectAdapter(const fs::path& folder,
                                                            const fs::path& base,
                                                            const std::string& base_digest) {
  ASSIGN_OR_RETURN(const llm::ModelConfig model, ConfigOf(base));
  RETURN_IF_ERROR(llm::ReadAdapter(folder, model).status());
  ASSIGN_OR_RETURN(const std::string json, ReadAdapterConfig(folder));
  AdapterFolder found{.config = {}, .tensors = llm::kAdapterTensorsFile};
  ASSIGN_OR_RETURN(
      found.config,
      llm::WithBaseModel(json, (folder / llm::kAdapterConfigFile).string(), base_digest));
  return found;
}

}  // namespace crossover::scheduler
