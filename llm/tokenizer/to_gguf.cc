#include "llm/tokenizer/to_gguf.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/gguf_vocabulary.h"
#include "llm/tokenizer/merges_by_score.h"

namespace crossover::llm {
namespace {

constexpr std::string_view kInnerMark = "\u2581";

bool IsByte(std::string_view token) {
  constexpr std::string_view kHex = "0123456789ABCDEFabcdef";
  return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>') &&
         kHex.find(token[3]) != std::string_view::npos &&
         kHex.find(token[4]) != std::string_view::npos;
}

// A space mark that is not the first character.
bool HasInnerSpace(std::string_view token) {
  return token.find(kInnerMark, 1) != std::string_view::npos;
}

class TokenizerWriter {
 public:
  TokenizerWriter(const HfTokenizer& tokenizer, std::string_view source, GgufWriter& writer)
      : tokenizer_(tokenizer), parts_(tokenizer.parts), source_(source), writer_(writer) {}

  absl::Status Write(int64_t vocab_size) {
    RETURN_IF_ERROR(ListTokens(vocab_size));
    RETURN_IF_ERROR(parts_.sentencepiece ? WriteSentencePiece() : WriteByteLevel());
    RETURN_IF_ERROR(WriteId("bos", parts_.bos_id));
    RETURN_IF_ERROR(WriteId("eos", parts_.eos_id));
    RETURN_IF_ERROR(WriteId("padding", tokenizer_.pad_id));
    if (parts_.unknown_id >= 0) RETURN_IF_ERROR(WriteId("unknown", parts_.unknown_id));
    RETURN_IF_ERROR(writer_.AddBool("tokenizer.ggml.add_bos_token", parts_.adds_bos));
    RETURN_IF_ERROR(writer_.AddBool("tokenizer.ggml.add_eos_token", parts_.adds_eos));
    if (tokenizer_.chat_template.empty()) return absl::OkStatus();
    return writer_.AddString("tokenizer.chat_template", tokenizer_.chat_template);
  }

 private:
  absl::Status Invalid(std::string_view message) const {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(ToAbsl(source_), ": ", ToAbsl(message)));
  }

  absl::Status Unsupported(std::string_view message) const {
    return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                 absl::StrCat(ToAbsl(source_), ": ", ToAbsl(message)));
  }

  absl::Status ListTokens(int64_t vocab_size) {
    const auto size = static_cast<size_t>(vocab_size);
    if (parts_.tokens.size() > size) {
      return Invalid(absl::StrCat("has ", parts_.tokens.size(),
                                  " tokens; the model's vocab_size in config.json is ", size));
    }
    tokens_ = parts_.tokens;
    tokens_.resize(size);
    types_.assign(size, GgufTokenType::kNormal);
    for (size_t id = 0; id < size; ++id) {
      if (parts_.sentencepiece && IsByte(tokens_[id])) types_[id] = GgufTokenType::kByte;
      if (!tokens_[id].empty()) continue;
      tokens_[id] = absl::StrCat("[PAD", id, "]");
      types_[id] = GgufTokenType::kUnused;
    }
    for (const AddedToken& token : parts_.added) {
      if (token.lstrip || token.rstrip) {
        return Unsupported(absl::StrCat("the added token '", token.text,
                                        "' swallows white space (lstrip or rstrip), which GGUF "
                                        "cannot say"));
      }
      types_[static_cast<size_t>(token.id)] =
          token.special ? GgufTokenType::kControl : GgufTokenType::kUserDefined;
    }
    if (parts_.sentencepiece && parts_.unknown_id >= 0)
      types_[static_cast<size_t>(parts_.unknown_id)] = GgufTokenType::kUnknown;
    return absl::OkStatus();
  }

  absl::Status WriteModel(std::string_view model, std::string_view pre) {
    RETURN_IF_ERROR(writer_.AddString("tokenizer.ggml.model", model));
    RETURN_IF_ERROR(writer_.AddString("tokenizer.ggml.pre", pre));
    RETURN_IF_ERROR(writer_.AddStrings("tokenizer.ggml.tokens", tokens_));
    return writer_.AddInts("tokenizer.ggml.token_type", types_);
  }

  absl::Status WriteId(std::string_view name, std::optional<int32_t> id) {
    if (!id) return absl::OkStatus();
    return writer_.AddUint32(absl::StrCat("tokenizer.ggml.", ToAbsl(name), "_token_id"),
                             static_cast<uint32_t>(*id));
  }

  absl::Status WriteByteLevel() {
    const auto& known = NamedPreTokenizers();
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const NamedPreTokenizer& named) {
          return named.patterns == parts_.patterns && named.nfc == parts_.nfc &&
                 named.ignore_merges == parts_.ignore_merges;
        });
    if (found == known.end()) {
      return Unsupported(absl::StrCat(
          "the pre_tokenizer '", absl::StrJoin(parts_.patterns, "', '"), "', ",
          parts_.nfc ? "with" : "without", " NFC and ", parts_.ignore_merges ? "with" : "without",
          " ignore_merges, has no name in GGUF; those of GPT-2, SmolLM, Llama 3 (with "
          "ignore_merges) and Qwen 2 (with NFC) have one"));
    }
    RETURN_IF_ERROR(WriteModel("gpt2", found->name));
    std::vector<std::string> merges;
    for (const auto& [left, right] : parts_.merges) {
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos) {
        return Unsupported(absl::StrCat("merge ", merges.size(), " ('", left, "' + '", right,
                                        "') has a space in a part, which GGUF cannot say"));
      }
      merges.push_back(absl::StrCat(left, " ", right));
    }
    return writer_.AddStrings("tokenizer.ggml.merges", merges);
  }

  absl::Status WriteSentencePiece() {
    if (parts_.ignore_merges)
      return Unsupported("ignore_merges with byte_fallback cannot be said in GGUF");
    RETURN_IF_ERROR(CheckSpaces());
    ASSIGN_OR_RETURN(const std::vector<float> scores, Scores());
    RETURN_IF_ERROR(WriteModel("llama", "default"));
    RETURN_IF_ERROR(writer_.AddFloats("tokenizer.ggml.scores", scores));
    return writer_.AddBool("tokenizer.ggml.add_space_prefix",
                           parts_.prefix == Tokenizer::Prefix::kEveryStretch);
  }

  absl::Status CheckSpaces() const {
    if (parts_.prefix_unless_spaced && parts_.prefix == Tokenizer::Prefix::kEveryStretch) {
      return Unsupported(
          "Metaspace with prepend_scheme 'always' cannot be said in GGUF, where text that begins "
          "with a space gets another one; 'first', 'never' and a Prepend normalizer can");
    }
    if (!parts_.split_at_spaces) return absl::OkStatus();
    for (const auto& [left, right] : parts_.merges) {
      if (!HasInnerSpace(left + right)) continue;
      return Unsupported(absl::StrCat("Metaspace splits at spaces, so '", left, right,
                                      "' is never merged; in GGUF it would be"));
    }
    return absl::OkStatus();
  }

  // SentencePiece merges the pair whose piece has the best score, whatever its parts. The order of
  // merges comes to that if all merges into a piece stand together and none of them is left out.
  absl::StatusOr<std::vector<float>> Scores() const {
    std::unordered_map<std::string_view, size_t> ids;
    for (size_t id = 0; id < tokens_.size(); ++id) ids.emplace(tokens_[id], id);
    // Below those of all merges: what cannot be merged has no use for one.
    std::vector<float> scores(tokens_.size(), -1 - static_cast<float>(parts_.merges.size()));
    std::vector<size_t> merges_into(tokens_.size());
    float score = 0;
    size_t last = tokens_.size();
    for (const auto& [left, right] : parts_.merges) {
      const auto found = ids.find(left + right);
      if (found == ids.end())
        return Invalid(absl::StrCat("merge of '", left, "' and '", right, "' gives no token"));
      const size_t id = found->second;
      if (types_[id] != GgufTokenType::kNormal && types_[id] != GgufTokenType::kUserDefined)
        continue;
      if (id != last && merges_into[id] > 0) return NoScores(tokens_[id], "stand apart");
      if (id != last) scores[id] = score--;
      last = id;
      ++merges_into[id];
    }
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] == GgufTokenType::kControl || types_[id] == GgufTokenType::kUnused) continue;
      if (tokens_[id].size() > kMaxMergedPiece) {
        return Unsupported(absl::StrCat("token ", id, " has ", tokens_[id].size(),
                                        " bytes; those that a GGUF file scores have at most ",
                                        kMaxMergedPiece));
      }
      if (types_[id] == GgufTokenType::kNormal && merges_into[id] != WaysToCut(tokens_[id], ids))
        return NoScores(tokens_[id], "are not all its halves that are tokens");
    }
    return scores;
  }

  absl::Status NoScores(std::string_view token, std::string_view problem) const {
    return Unsupported(absl::StrCat("the merges into '", ToAbsl(token), "' ", ToAbsl(problem),
                                    ", so they are not those of a SentencePiece model; GGUF keeps "
                                    "a score of each token and not merges, and would cut texts in "
                                    "another way"));
  }

  static size_t WaysToCut(std::string_view token,
                          const std::unordered_map<std::string_view, size_t>& ids) {
    size_t ways = 0;
    for (size_t cut = 1; cut < token.size(); ++cut)
      ways += ids.contains(token.substr(0, cut)) && ids.contains(token.substr(cut)) ? 1 : 0;
    return ways;
  }

  const HfTokenizer& tokenizer_;
  const Tokenizer::Parts& parts_;
  std::string_view source_;
  GgufWriter& writer_;
  std::vector<std::string> tokens_;  // As the file has them.
  std::vector<int32_t> types_;
};

}  // namespace

absl::Status AddTokenizer(const HfTokenizer& tokenizer, int64_t vocab_size, std::string_view source,
                          GgufWriter& writer) {
  return TokenizerWriter(tokenizer, source, writer).Write(vocab_size);
}

}  // namespace crossover::llm
