// Writes a tokenizer as metadata of a GGUF file: the reverse of Tokenizer::FromGguf.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "llm/formats/gguf_writer.h"
#include "llm/tokenizer/hf_tokenizer.h"

namespace crossover::llm {

// The keys "tokenizer.…", so that llama.cpp and Tokenizer::FromGguf give the ids that
// tokenizer.json gives; ids up to the model's `vocab_size` that have no token become "[PAD…]".
//
// What GGUF cannot say is Unimplemented MODEL_UNSUPPORTED, after `source`, the path of
// tokenizer.json: pre-tokenizers without a name there; added tokens that swallow white space;
// SentencePiece's merges that no scores of pieces give; Metaspace that puts a space before every
// stretch, unless there is one. The kind that does so before the first stretch only is written as
// no space at all, which is right for conversations, as they begin with a control token.
// InvalidArgument FORMAT_INVALID: more tokens than `vocab_size`.
absl::Status AddTokenizer(const HfTokenizer& tokenizer, int64_t vocab_size, std::string_view source,
                          GgufWriter& writer);

}  // namespace crossover::llm
