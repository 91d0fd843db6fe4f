// A small SentencePiece vocabulary, for tests.
#pragma once

#include <string>

#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {

// A SentencePiece vocabulary as a converted model has it: unknown, control tokens, bytes, pieces.
inline Tokenizer::Parts SentencePieceParts() {
  Tokenizer::Parts parts;
  parts.tokens = {"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256; ++byte) {
    std::string name = "<0x00>";
    name[3] = "0123456789ABCDEF"[byte / 16];
    name[4] = "0123456789ABCDEF"[byte % 16];
    parts.tokens.push_back(name);
  }
  for (const char* piece : {"\u2581", "a", "b", "ab", "\u2581ab"}) parts.tokens.emplace_back(piece);
  parts.merges = {{"a", "b"}, {"\u2581", "ab"}};
  parts.added = {{.text = "<s>", .id = 1, .special = true},
                 {.text = "</s>", .id = 2, .special = true}};
  parts.sentencepiece = true;
  parts.prefix = Tokenizer::Prefix::kEveryStretch;
  parts.unknown_id = 0;
  parts.fuse_unknown = true;
  parts.bos_id = 1;
  parts.adds_bos = true;
  return parts;
}

}  // namespace crossover::llm
