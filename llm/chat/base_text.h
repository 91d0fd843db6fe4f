// What of a base model has to do with text.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/model_config.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

struct BaseText {
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;
  // Its chat template; ChatML's for a base that has none.
  std::string jinja;
  bool own_template = false;
  std::string path;  // for messages

  // Errors of ChatTemplate::FromText, naming the path.
  absl::StatusOr<std::shared_ptr<const ChatTemplate>> Chat(ChatTemplateOptions options = {}) const;
};

// Of a GGUF file or a Hugging Face folder, whose tokenizer need not be one that GGUF has a name
// for. Reads no weights. Errors of GgufFile::Open and ModelConfig, of ReadHfTokenizer and
// Tokenizer::Create; Unimplemented MODEL_UNSUPPORTED for a base with neither a chat template nor
// ChatML's markers; InvalidArgument FORMAT_INVALID for a tokenizer with more tokens than the model.
absl::StatusOr<BaseText> ReadBaseText(const std::filesystem::path& base);

}  // namespace crossover::llm
