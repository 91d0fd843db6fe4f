// Tokenizer::FromGguf. Keys: llama.cpp, gguf-py/gguf/constants.py; meaning of the pre-tokenizer
// names: llama-vocab.cpp.
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/gguf_vocabulary.h"
#include "llm/tokenizer/merges_by_score.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {
namespace {

absl::Status Invalid(const GgufFile& file, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               file.path() + ": " + std::string(message));
}

// Sets patterns, normalisation, ignore_merges and the default of adds_bos.
absl::Status ApplyPreTokenizer(const GgufFile& file, const std::string& name,
                               Tokenizer::Parts& parts) {
  const bool old_name = name == "llama3" || name == "llama-v3";
  const std::string_view wanted = old_name ? "llama-bpe" : std::string_view(name);
  for (const NamedPreTokenizer& known : NamedPreTokenizers()) {
    if (known.name != wanted) continue;
    parts.patterns = known.patterns;
    parts.nfc = known.nfc;
    parts.ignore_merges = known.ignore_merges;
    parts.adds_bos = known.adds_bos;
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(file.path(), ": tokenizer.ggml.pre is '", name,
                            "'; smollm, gpt-2, llama-bpe, qwen2 and default are supported"));
}

absl::Status ReadTokens(const GgufFile& file, Tokenizer::Parts& parts) {
  ASSIGN_OR_RETURN(const auto tokens, file.GetStrings("tokenizer.ggml.tokens"));
  std::vector<int64_t> types;
  if (file.Has("tokenizer.ggml.token_type")) {
    ASSIGN_OR_RETURN(types, file.GetInts("tokenizer.ggml.token_type"));
    if (types.size() != tokens.size()) {
      return Invalid(file, absl::StrCat("tokenizer.ggml.token_type has ", types.size(),
                                        " entries for ", tokens.size(), " tokens"));
    }
  }
  types.resize(tokens.size(), GgufTokenType::kNormal);
  for (size_t id = 0; id < tokens.size(); ++id) {
    parts.tokens.emplace_back(tokens[id]);
    if (types[id] != GgufTokenType::kControl && types[id] != GgufTokenType::kUserDefined) continue;
    parts.added.push_back({.text = std::string(tokens[id]),
                           .id = static_cast<int32_t>(id),
                           .special = types[id] == GgufTokenType::kControl});
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufFile& file, Tokenizer::Parts& parts) {
  ASSIGN_OR_RETURN(const auto merges, file.GetStrings("tokenizer.ggml.merges"));
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const size_t space = merges[rank].find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merges[rank].size()) {
      return Invalid(file, absl::StrCat("tokenizer.ggml.merges[", rank, "] is not two parts"));
    }
    parts.merges.emplace_back(merges[rank].substr(0, space), merges[rank].substr(space + 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<int32_t>> ReadId(const GgufFile& file, const std::string& key) {
  if (!file.Has(key)) return std::optional<int32_t>();
  ASSIGN_OR_RETURN(const uint64_t id, file.GetUint(key));
  if (id > INT32_MAX) return Invalid(file, absl::StrCat(key, " is ", id));
  return std::optional<int32_t>(static_cast<int32_t>(id));
}

absl::StatusOr<std::vector<float>> ReadScores(const GgufFile& file) {
  const GgufMetadata* entry = file.FindMetadata("tokenizer.ggml.scores");
  if (entry == nullptr || entry->type != GgufType::kArray || entry->element != GgufType::kFloat32)
    return Invalid(file, "tokenizer.ggml.scores must be an array of 32-bit floats");
  std::vector<float> scores(entry->count);
  if (!scores.empty()) std::memcpy(scores.data(), entry->encoded.data(), 4 * scores.size());
  return scores;
}

absl::Status ReadSentencePiece(const GgufFile& file, Tokenizer::Parts& parts) {
  RETURN_IF_ERROR(ReadTokens(file, parts));
  ASSIGN_OR_RETURN(const std::vector<int64_t> types, file.GetInts("tokenizer.ggml.token_type"));
  for (size_t id = 0; id < types.size(); ++id) {
    if (types[id] != GgufTokenType::kUnknown) continue;
    parts.unknown_id = static_cast<int32_t>(id);
    parts.added.push_back({.text = parts.tokens[id], .id = parts.unknown_id, .special = true});
  }
  ASSIGN_OR_RETURN(const std::vector<float> scores, ReadScores(file));
  auto merges = MergesByScore(parts.tokens, types, scores);
  if (!merges.ok()) return WithContext(merges.status(), file.path());
  parts.merges = *std::move(merges);
  parts.sentencepiece = true;
  parts.fuse_unknown = true;
  parts.adds_bos = true;
  ASSIGN_OR_RETURN(const bool prefix, file.GetBoolOr("tokenizer.ggml.add_space_prefix", true));
  parts.prefix = prefix ? Tokenizer::Prefix::kEveryStretch : Tokenizer::Prefix::kNone;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Tokenizer::Parts> Tokenizer::PartsOfGguf(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string model, file.GetString("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama") {
    return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                 absl::StrCat(file.path(), ": tokenizer.ggml.model is '", model,
                              "'; 'gpt2' (byte-level BPE) and 'llama' (SentencePiece's BPE) are "
                              "supported"));
  }
  Parts parts;
  if (model == "llama") {
    RETURN_IF_ERROR(ReadSentencePiece(file, parts));
  } else {
    ASSIGN_OR_RETURN(const std::string pre, file.GetStringOr("tokenizer.ggml.pre", "default"));
    RETURN_IF_ERROR(ApplyPreTokenizer(file, pre, parts));
    RETURN_IF_ERROR(ReadTokens(file, parts));
    RETURN_IF_ERROR(ReadMerges(file, parts));
  }
  ASSIGN_OR_RETURN(parts.bos_id, ReadId(file, "tokenizer.ggml.bos_token_id"));
  ASSIGN_OR_RETURN(parts.eos_id, ReadId(file, "tokenizer.ggml.eos_token_id"));
  ASSIGN_OR_RETURN(parts.adds_bos, file.GetBoolOr("tokenizer.ggml.add_bos_token", parts.adds_bos));
  ASSIGN_OR_RETURN(parts.adds_eos, file.GetBoolOr("tokenizer.ggml.add_eos_token", false));
  return parts;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromGguf(const GgufFile& file) {
  ASSIGN_OR_RETURN(Parts parts, PartsOfGguf(file));
  auto tokenizer = Create(std::move(parts));
  if (!tokenizer.ok()) return WithContext(tokenizer.status(), file.path());
  return tokenizer;
}

}  // namespace crossover::llm
