// Writes a tokenizer as the files that Hugging Face's programs read: the reverse of
// Tokenizer::FromJson.
#pragma once

#include <cstdint>
#include <string>

#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

// tokenizer.json, version "1.0".
std::string TokenizerJson(const Tokenizer::Parts& parts);

// tokenizer_config.json; `chat_template` may be empty.
std::string TokenizerConfigJson(const Tokenizer::Parts& parts, const std::string& chat_template,
                                int64_t context_length);

}  // namespace crossover::llm
