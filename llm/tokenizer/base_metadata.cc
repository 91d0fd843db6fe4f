#include "llm/tokenizer/base_metadata.h"

#include <span>
#include <string>
#include <system_error>

#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/gguf_config.h"
#include "llm/formats/gguf_writer.h"
#include "llm/formats/hf_listing.h"
#include "llm/formats/model_config.h"
#include "llm/tokenizer/hf_tokenizer.h"
#include "llm/tokenizer/to_gguf.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;

absl::Status WriteMetadata(const fs::path& folder, GgufWriter& writer) {
  ASSIGN_OR_RETURN(const ModelConfig config, ModelConfig::FromHfFolder(folder));
  ASSIGN_OR_RETURN(const HfTokenizer tokenizer, ReadHfTokenizer(folder));
  RETURN_IF_ERROR(WithContext(AddModelConfig(config, writer), (folder / kHfConfigFile).string()));
  RETURN_IF_ERROR(
      AddTokenizer(tokenizer, config.vocab_size, (folder / kHfTokenizerFile).string(), writer));
  RETURN_IF_ERROR(AddRopeDivisors(config, writer));
  return writer.Finish();
}

// A file and what it points into.
struct FileInMemory {
  std::string bytes;
  std::shared_ptr<const GgufFile> file;
};

}  // namespace

bool IsHfFolder(const fs::path& base) {
  std::error_code ignored;
  return fs::is_directory(base, ignored);
}

absl::StatusOr<std::shared_ptr<const GgufFile>> OpenMetadata(const fs::path& base) {
  if (!IsHfFolder(base)) return GgufFile::Open(base);
  const auto made = std::make_shared<FileInMemory>();
  const std::unique_ptr<GgufWriter> writer = GgufWriter::ToMemory(base.string(), made->bytes);
  RETURN_IF_ERROR(WriteMetadata(base, *writer));
  ASSIGN_OR_RETURN(made->file,
                   GgufFile::Parse(std::as_bytes(std::span(made->bytes)), base.string()));
  return std::shared_ptr<const GgufFile>(made, made->file.get());
}

absl::Status CopyTokenizerFiles(const fs::path& from, const fs::path& to) {
  for (const std::string_view name : kHfTokenizerFiles) {
    if (!fs::exists(from / name)) continue;
    ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(from / name));
    RETURN_IF_ERROR(WriteFileAtomically(to / name, bytes));
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
