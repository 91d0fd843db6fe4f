// BPE tokenizer of a model, byte-level (GPT-2's kind) or SentencePiece's (Llama 2, Mistral), from
// its GGUF metadata or from tokenizer.json.
//
// Ids equal those of huggingface/tokenizers with the model's own tokenizer.json, and llama.cpp's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/gguf_file.h"
#include "llm/tokenizer/added_tokens.h"

namespace crossover::llm {

// A stretch of text to encode. Text of people and programs (`trusted` false) never becomes control
// tokens: "<|im_end|>" in a user's message is ten characters, not the end of the turn.
struct TextSpan {
  std::string_view text;
  bool trusted = true;
};

// Immutable and thread-safe.
//
// Text that is not UTF-8 is encoded as if each wrong sequence were U+FFFD, which is what Python
// programs see after decode(errors="replace").
class Tokenizer {
 public:
  // Byte-level BPE with the pre-tokenizers "smollm", "gpt-2", "llama-bpe", "qwen2" and "default",
  // and SentencePiece's BPE ("llama"). Unimplemented MODEL_UNSUPPORTED names any other;
  // InvalidArgument FORMAT_INVALID if the vocabulary is inconsistent.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromGguf(const GgufFile& file);

  // The text of a tokenizer.json; `path` is for messages. Parts that are not byte-level BPE are
  // refused by name, as above.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromJson(std::string_view json,
                                                                   std::string_view path);

  ~Tokenizer();

  // Added and control tokens in the text are recognised.
  std::vector<int32_t> Encode(std::string_view text) const;

  // The spans are one text: merges cross their borders. Control tokens are recognised within one
  // trusted span only. `continues`: the text goes on from other text, so that SentencePiece's space
  // before a text is left out.
  std::vector<int32_t> Encode(std::span<const TextSpan> spans, bool continues = false) const;

  // The text of the ids, U+FFFD where bytes are no UTF-8. Control tokens are left out if
  // `skip_special`. Ids outside the vocabulary give nothing.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // The bytes an id stands for (perhaps part of a character); the name of a control token. ""
  // outside the vocabulary.
  std::string_view Bytes(int32_t id) const;

  bool IsSpecial(int32_t id) const;

  // The id of a control or added token, by its text.
  std::optional<int32_t> FindAdded(std::string_view text) const;

  int32_t vocab_size() const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  // The model expects bos_id() before every text. Encode never adds it: chat templates bring their
  // own.
  bool adds_bos() const;

  // Where SentencePiece puts a space of its own.
  enum class Prefix { kNone, kEveryStretch, kFirstStretch };

  // What both sources are turned into.
  struct Parts {
    std::vector<std::string> tokens;  // By id; in the byte alphabet, added tokens as plain text.
    std::vector<std::pair<std::string, std::string>> merges;
    std::vector<AddedToken> added;
    std::vector<std::string> patterns;
    bool nfc = false;
    bool ignore_merges = false;
    int32_t unknown_id = -1;
    bool fuse_unknown = false;
    std::optional<int32_t> bos_id;
    std::optional<int32_t> eos_id;
    bool adds_bos = false;
    bool adds_eos = false;  // After every text. Kept for files that are written.
    // SentencePiece: tokens are plain text with U+2581 for spaces and "<0xNN>" for bytes; there are
    // no patterns. A stretch is what lies between added tokens.
    bool sentencepiece = false;
    Prefix prefix = Prefix::kNone;
    // Of Hugging Face's Metaspace: a stretch that begins with a space gets no other; every space
    // begins a piece.
    bool prefix_unless_spaced = false;
    bool split_at_spaces = false;
  };
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Create(Parts parts);
  // What FromGguf and FromJson make of a file.
  static absl::StatusOr<Parts> PartsOfGguf(const GgufFile& file);
  static absl::StatusOr<Parts> PartsOfJson(std::string_view json, std::string_view path);

 private:
  class Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Text of a growing answer: takes ids one by one and gives whole characters only. Not thread-safe.
class StreamDecoder {
 public:
  // Borrows the tokenizer.
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // The characters that became whole with this id, possibly none. Control tokens give nothing.
  std::string Push(int32_t id);
  // What is left at the end: U+FFFD for a character that was never finished.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace crossover::llm
