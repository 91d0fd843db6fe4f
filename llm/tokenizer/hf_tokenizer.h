// Reads the tokenizer of a Hugging Face folder: more than tokenizer.json says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

struct HfTokenizer {
  Tokenizer::Parts parts;
  std::optional<int32_t> pad_id;
  std::string chat_template;  // "": the folder has none.
};

// From tokenizer.json; tokenizer_config.json, if it is there, names begin, end and padding tokens
// and tells whether begin and end are added (config.json has the ids of those that it does not
// name); the template is that of chat_template.jinja, else of tokenizer_config.json (of several,
// "default"). NotFound FILE_MISSING without tokenizer.json; InvalidArgument FORMAT_INVALID and
// Unimplemented MODEL_UNSUPPORTED name file and key.
absl::StatusOr<HfTokenizer> ReadHfTokenizer(const std::filesystem::path& folder);

}  // namespace crossover::llm
