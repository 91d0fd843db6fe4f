// Tokenizer::FromJson. Format: huggingface/tokenizers 0.2x, version "1.0".
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/tokenizer/pretokenizer.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxId = 1 << 24;

class JsonReader {
 public:
  explicit JsonReader(std::string_view path) : path_(path) {}

  absl::StatusOr<Tokenizer::Parts> Read(const Json& root) {
    if (!root.is_object() || !root.contains("model")) return Invalid("has no 'model'");
    RETURN_IF_ERROR(ReadModel(root["model"]));
    RETURN_IF_ERROR(ReadAdded(Member(root, "added_tokens")));
    RETURN_IF_ERROR(ReadNormalizer(Member(root, "normalizer")));
    RETURN_IF_ERROR(ReadPreTokenizer(Member(root, "pre_tokenizer")));
    if (!byte_level_ && !parts_.sentencepiece)
      return Unsupported("pre_tokenizer", "without ByteLevel");
    RETURN_IF_ERROR(ReadPostProcessor(Member(root, "post_processor")));
    return std::move(parts_);
  }

 private:
  absl::Status Invalid(std::string_view message) const {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(ToAbsl(path_), ": ", ToAbsl(message)));
  }

  absl::Status Unsupported(std::string_view part, std::string_view what) const {
    return Error(
        absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
        absl::StrCat(ToAbsl(path_), ": ", ToAbsl(part), " ", ToAbsl(what),
                     " is not supported; byte-level BPE tokenizers are, and SentencePiece's "
                     "with Prepend and Replace, or Metaspace"));
  }

  static const Json& Member(const Json& object, const char* key) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
  }

  static std::string Text(const Json& object, const char* key) {
    const Json& value = Member(object, key);
    return value.is_string() ? value.get<std::string>() : "";
  }

  static bool Flag(const Json& object, const char* key, bool fallback = false) {
    const Json& value = Member(object, key);
    return value.is_boolean() ? value.get<bool>() : fallback;
  }

  absl::Status PutToken(const Json& id, const std::string& text) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kMaxId) {
      return Invalid(absl::StrCat("token '", text, "' has no id from 0 to ", kMaxId));
    }
    const size_t index = id.get<size_t>();
    if (index >= parts_.tokens.size()) parts_.tokens.resize(index + 1);
    parts_.tokens[index] = text;
    return absl::OkStatus();
  }

  absl::Status ReadModel(const Json& model) {
    if (Text(model, "type") != "BPE" &&
        !(Text(model, "type").empty() && Member(model, "merges").is_array())) {
      return Unsupported("model", absl::StrCat("'", Text(model, "type"), "'"));
    }
    parts_.sentencepiece = Flag(model, "byte_fallback");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!Text(model, key).empty()) return Unsupported("model", absl::StrCat("with ", key));
    }
    const Json& vocabulary = Member(model, "vocab");
    if (!vocabulary.is_object()) return Invalid("'model.vocab' is not an object");
    for (const auto& [text, id] : vocabulary.items()) RETURN_IF_ERROR(PutToken(id, text));
    RETURN_IF_ERROR(ReadMerges(Member(model, "merges")));
    parts_.ignore_merges = Flag(model, "ignore_merges");
    parts_.fuse_unknown = Flag(model, "fuse_unk");
    const std::string unknown = Text(model, "unk_token");
    if (!unknown.empty()) {
      if (!vocabulary.contains(unknown))
        return Invalid("'model.unk_token' is not in the vocabulary");
      parts_.unknown_id = vocabulary[unknown].get<int32_t>();
    }
    return absl::OkStatus();
  }

  // ["a b", …] before tokenizers 0.20, [["a", "b"], …] since.
  absl::Status ReadMerges(const Json& merges) {
    if (!merges.is_array()) return Invalid("'model.merges' is not a list");
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const Json& merge = merges[rank];
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        parts_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        continue;
      }
      const std::string text = merge.is_string() ? merge.get<std::string>() : "";
      const size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
        return Invalid(absl::StrCat("'model.merges[", rank, "]' is not two parts"));
      }
      parts_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAdded(const Json& added) {
    if (added.is_null()) return absl::OkStatus();
    if (!added.is_array()) return Invalid("'added_tokens' is not a list");
    for (const Json& item : added) {
      AddedToken token{.text = Text(item, "content"),
                       .special = Flag(item, "special"),
                       .lstrip = Flag(item, "lstrip"),
                       .rstrip = Flag(item, "rstrip"),
                       .normalized = Flag(item, "normalized")};
      if (token.text.empty()) return Invalid("an added token has no 'content'");
      if (Flag(item, "single_word")) {
        return Unsupported("added token", absl::StrCat("'", token.text, "' with single_word"));
      }
      RETURN_IF_ERROR(PutToken(Member(item, "id"), token.text));
      token.id = item["id"].get<int32_t>();
      parts_.added.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  absl::Status ReadNormalizer(const Json& normalizer) {
    if (normalizer.is_null()) return absl::OkStatus();
    const std::string type = Text(normalizer, "type");
    if (type == "NFC") {
      parts_.nfc = true;
      return absl::OkStatus();
    }
    if (parts_.sentencepiece && type == "Prepend" && Text(normalizer, "prepend") == "\u2581") {
      parts_.prefix = Tokenizer::Prefix::kEveryStretch;
      return absl::OkStatus();
    }
    if (parts_.sentencepiece && type == "Replace" && Text(normalizer, "content") == "\u2581" &&
        Text(Member(normalizer, "pattern"), "String") == " ")
      return absl::OkStatus();
    if (type != "Sequence") return Unsupported("normalizer", absl::StrCat("'", type, "'"));
    for (const Json& step : Member(normalizer, "normalizers")) {
      if (Text(step, "type") == "Sequence") return Unsupported("normalizer", "nested Sequence");
      RETURN_IF_ERROR(ReadNormalizer(step));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPreTokenizer(const Json& step) {
    const std::string type = Text(step, "type");
    if (parts_.sentencepiece) {
      if (step.is_null()) return absl::OkStatus();
      if (type == "Metaspace") return ReadMetaspace(step);
      return Unsupported("pre_tokenizer", absl::StrCat("'", type, "' with byte_fallback"));
    }
    if (type == "Sequence") {
      for (const Json& inner : Member(step, "pretokenizers")) {
        if (Text(inner, "type") == "Sequence")
          return Unsupported("pre_tokenizer", "nested Sequence");
        RETURN_IF_ERROR(ReadPreTokenizer(inner));
      }
      return absl::OkStatus();
    }
    if (type == "ByteLevel") {
      if (Flag(step, "add_prefix_space", true)) {
        return Unsupported("pre_tokenizer", "ByteLevel with add_prefix_space");
      }
      if (Flag(step, "use_regex", true)) parts_.patterns.push_back(patterns::kGpt2);
      byte_level_ = true;
      return absl::OkStatus();
    }
    // After ByteLevel the text is in the byte alphabet, where these patterns would mean something
    // else.
    if (byte_level_)
      return Unsupported("pre_tokenizer", absl::StrCat("'", type, "' after ByteLevel"));
    if (type == "Digits") {
      parts_.patterns.push_back(Flag(step, "individual_digits") ? patterns::kEachDigit
                                                                : patterns::kDigitRuns);
      return absl::OkStatus();
    }
    const std::string pattern = Text(Member(step, "pattern"), "Regex");
    if (type == "Split" && !pattern.empty() && Text(step, "behavior") == "Isolated" &&
        !Flag(step, "invert")) {
      parts_.patterns.push_back(pattern);
      return absl::OkStatus();
    }
    return Unsupported(
        "pre_tokenizer",
        absl::StrCat("'", type, "' with ",
                     step.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 200)));
  }

  // Until tokenizers 0.14 `add_prefix_space` said what `prepend_scheme` says since.
  absl::Status ReadMetaspace(const Json& step) {
    std::string scheme = Text(step, "prepend_scheme");
    if (scheme.empty()) scheme = Flag(step, "add_prefix_space", true) ? "always" : "never";
    if (Text(step, "replacement") != "\u2581" ||
        (scheme != "always" && scheme != "first" && scheme != "never")) {
      return Unsupported("pre_tokenizer",
                         absl::StrCat("Metaspace with replacement '", Text(step, "replacement"),
                                      "' and prepend_scheme '", scheme, "'"));
    }
    if (scheme == "always") parts_.prefix = Tokenizer::Prefix::kEveryStretch;
    if (scheme == "first") parts_.prefix = Tokenizer::Prefix::kFirstStretch;
    parts_.prefix_unless_spaced = true;
    parts_.split_at_spaces = Flag(step, "split", true);
    return absl::OkStatus();
  }

  absl::Status ReadPostProcessor(const Json& step) {
    const std::string type = Text(step, "type");
    if (step.is_null() || type == "ByteLevel") return absl::OkStatus();
    if (type == "Sequence") {
      for (const Json& inner : Member(step, "processors")) {
        if (Text(inner, "type") == "Sequence")
          return Unsupported("post_processor", "nested Sequence");
        RETURN_IF_ERROR(ReadPostProcessor(inner));
      }
      return absl::OkStatus();
    }
    if (type != "TemplateProcessing")
      return Unsupported("post_processor", absl::StrCat("'", type, "'"));
    const Json& single = Member(step, "single");
    if (!single.is_array() || single.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::optional<int32_t> first, SpecialOf(single.front()));
    if (first) {
      parts_.bos_id = first;
      parts_.adds_bos = true;
    }
    if (single.size() == 1) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::optional<int32_t> last, SpecialOf(single.back()));
    if (last) {
      parts_.eos_id = last;
      parts_.adds_eos = true;
    }
    return absl::OkStatus();
  }

  // The id of a template's piece; nullopt if it is not a token.
  absl::StatusOr<std::optional<int32_t>> SpecialOf(const Json& piece) const {
    const std::string text = Text(Member(piece, "SpecialToken"), "id");
    if (text.empty()) return std::optional<int32_t>();
    const auto found = std::find_if(parts_.added.begin(), parts_.added.end(),
                                    [&](const AddedToken& token) { return token.text == text; });
    if (found != parts_.added.end()) return std::optional<int32_t>(found->id);
    return Invalid(absl::StrCat("post_processor uses '", text, "', which is no added token"));
  }

  std::string_view path_;
  Tokenizer::Parts parts_;
  bool byte_level_ = false;
};

}  // namespace

absl::StatusOr<Tokenizer::Parts> Tokenizer::PartsOfJson(std::string_view json,
                                                        std::string_view path) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(ToAbsl(path), ": is not valid JSON"));
  }
  return JsonReader(path).Read(root);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view json,
                                                                     std::string_view path) {
  ASSIGN_OR_RETURN(Parts parts, PartsOfJson(json, path));
  auto tokenizer = Create(std::move(parts));
  if (!tokenizer.ok()) return WithContext(tokenizer.status(), path);
  return tokenizer;
}

}  // namespace crossover::llm
