#include "services/training_scheduler/model_files/gguf_model_files.h"

#include <memory>
#include <string>

#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/model_config.h"

namespace crossover::scheduler {
namespace {

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

}  // namespace

absl::StatusOr<ModelVersion> GgufModelFiles::Inspect(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const llm::GgufFile> file, llm::GgufFile::Open(path));
  ASSIGN_OR_RETURN(llm::ModelConfig config, llm::ModelConfig::FromGguf(*file));
  ASSIGN_OR_RETURN(std::string chat_template, file->GetStringOr("tokenizer.chat_template", ""));
  ModelVersion version;
  version.kind = ModelKind::kBase;
  version.architecture = std::string(llm::NameOf(config.architecture));
  version.hidden_size = config.hidden_size;
  version.context_length = config.context_length;
  for (const llm::GgufTensor& tensor : file->tensors()) version.parameters += tensor.values();
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) {
    return absl::UnavailableError(path.string() + ": " + error.message());
  }
  version.bytes = static_cast<int64_t>(bytes);
  version.tokenizer_digest = TokenizerDigest(*file);
  version.template_digest = chat_template.empty() ? "" : DigestOf(chat_template);
  return version;
}

}  // namespace crossover::scheduler
