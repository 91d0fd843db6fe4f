#include "llm/chat/base_text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_file.h"
#include "llm/formats/hf_listing.h"
#include "llm/tokenizer/base_metadata.h"
#include "llm/tokenizer/hf_tokenizer.h"

namespace crossover::llm {
namespace {

absl::StatusOr<BaseText> ReadFile(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  BaseText text;
  ASSIGN_OR_RETURN(text.config, ModelConfig::FromGguf(*file));
  ASSIGN_OR_RETURN(text.tokenizer, Tokenizer::FromGguf(*file));
  ASSIGN_OR_RETURN(text.jinja, file->GetStringOr("tokenizer.chat_template", ""));
  return text;
}

absl::StatusOr<BaseText> ReadFolder(const std::filesystem::path& path) {
  BaseText text;
  ASSIGN_OR_RETURN(text.config, ModelConfig::FromHfFolder(path));
  ASSIGN_OR_RETURN(HfTokenizer tokenizer, ReadHfTokenizer(path));
  const std::string source = (path / kHfTokenizerFile).string();
  if (std::ssize(tokenizer.parts.tokens) > text.config.vocab_size) {
    return Error(
        absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
        absl::StrCat(source, ": has ", tokenizer.parts.tokens.size(),
                     " tokens; the model's vocab_size in config.json is ", text.config.vocab_size));
  }
  auto created = Tokenizer::Create(std::move(tokenizer.parts));
  if (!created.ok()) return WithContext(created.status(), source);
  text.tokenizer = *std::move(created);
  text.jinja = std::move(tokenizer.chat_template);
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ChatTemplate>> BaseText::Chat(
    ChatTemplateOptions options) const {
  auto chat = ChatTemplate::FromText(jinja, tokenizer, options);
  if (!chat.ok()) return WithContext(chat.status(), path);
  return chat;
}

absl::StatusOr<BaseText> ReadBaseText(const std::filesystem::path& base) {
  const bool folder = IsHfFolder(base);
  absl::StatusOr<BaseText> text = folder ? ReadFolder(base) : ReadFile(base);
  RETURN_IF_ERROR(text.status());
  text->path = base.string();
  text->own_template = !text->jinja.empty();
  if (text->own_template) return text;
  ASSIGN_OR_RETURN(text->jinja, ChatMlFor(*text->tokenizer, text->path, folder));
  return text;
}

}  // namespace crossover::llm
