#include "llm/tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"

namespace crossover::llm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using MaybeId = std::optional<int32_t>;

absl::Status InvalidFile(const fs::path& path, std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(path.string(), ": ", ToAbsl(message)));
}

absl::StatusOr<Json> ReadObject(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidFile(path, "is not a JSON object");
  return json;
}

const Json& Member(const Json& object, const std::string& key) {
  static const Json null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

// A token is a text, or an object that has it as "content".
std::string TokenText(const Json& value) {
  const Json& text = value.is_object() ? Member(value, "content") : value;
  return text.is_string() ? text.get<std::string>() : "";
}

MaybeId FindToken(const Tokenizer::Parts& parts, const std::string& text) {
  const auto added = std::find_if(parts.added.begin(), parts.added.end(),
                                  [&](const AddedToken& token) { return token.text == text; });
  if (added != parts.added.end()) return added->id;
  const auto plain = std::find(parts.tokens.begin(), parts.tokens.end(), text);
  if (plain == parts.tokens.end()) return std::nullopt;
  return static_cast<int32_t>(plain - parts.tokens.begin());
}

class FolderReader {
 public:
  explicit FolderReader(const fs::path& folder) : folder_(folder) {}

  absl::StatusOr<HfTokenizer> Read() {
    RETURN_IF_ERROR(ReadFiles());
    Tokenizer::Parts& parts = tokenizer_.parts;
    ASSIGN_OR_RETURN(const MaybeId bos, IdOf("bos_token"));
    ASSIGN_OR_RETURN(const MaybeId eos, IdOf("eos_token"));
    ASSIGN_OR_RETURN(tokenizer_.pad_id, IdOf("pad_token"));
    RETURN_IF_ERROR(CheckAdded("bos_token", bos, parts.bos_id));
    RETURN_IF_ERROR(CheckAdded("eos_token", eos, parts.eos_id));
    if (bos) parts.bos_id = bos;
    if (eos) parts.eos_id = eos;
    ASSIGN_OR_RETURN(parts.adds_bos, FlagOr("add_bos_token", parts.adds_bos));
    ASSIGN_OR_RETURN(parts.adds_eos, FlagOr("add_eos_token", parts.adds_eos));
    parts.adds_bos = parts.adds_bos && parts.bos_id;
    parts.adds_eos = parts.adds_eos && parts.eos_id;
    ASSIGN_OR_RETURN(tokenizer_.chat_template, ReadTemplate());
    return std::move(tokenizer_);
  }

 private:
  absl::Status ReadFiles() {
    const fs::path path = folder_ / "tokenizer.json";
    if (!fs::exists(path)) {
      return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                   absl::StrCat(path.string(),
                                " is missing; transformers writes it where "
                                "AutoTokenizer.from_pretrained(…).save_pretrained(…) is called "
                                "(tokenizer.model and vocab.json are not read)"));
    }
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
    ASSIGN_OR_RETURN(tokenizer_.parts, Tokenizer::PartsOfJson(text, path.string()));
    if (fs::exists(config_path_)) {
      ASSIGN_OR_RETURN(config_, ReadObject(config_path_));
    }
    ASSIGN_OR_RETURN(model_, ReadObject(model_path_));
    return absl::OkStatus();
  }

  absl::StatusOr<MaybeId> IdOf(const std::string& key) const {
    const std::string text = TokenText(Member(config_, key));
    if (text.empty()) return IdInModel(key + "_id");
    const MaybeId id = FindToken(tokenizer_.parts, text);
    // A padding token of the trainer's own need not be the model's.
    if (id || key == "pad_token") return id;
    return InvalidFile(config_path_,
                       absl::StrCat(key, " '", text, "' is no token of tokenizer.json"));
  }

  // One id, or a list whose first is the one that is meant. -1 stands for none in old files.
  absl::StatusOr<MaybeId> IdInModel(const std::string& key) const {
    const Json& value = Member(model_, key);
    const Json& id = value.is_array() && !value.empty() ? value.front() : value;
    if (!id.is_number_integer() || id.get<int64_t>() < 0) return MaybeId();
    if (id.get<int64_t>() < static_cast<int64_t>(tokenizer_.parts.tokens.size()))
      return MaybeId(id.get<int32_t>());
    return InvalidFile(model_path_,
                       absl::StrCat(key, " is ", id.get<int64_t>(), "; tokenizer.json has ",
                                    tokenizer_.parts.tokens.size(), " tokens"));
  }

  // What tokenizer.json's template puts around a text is what its config calls begin and end.
  absl::Status CheckAdded(const char* key, const MaybeId& named, const MaybeId& added) const {
    if (!named || !added || *named == *added) return absl::OkStatus();
    return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
                 absl::StrCat(folder_.string(), ": tokenizer.json puts token ", *added,
                              " beside every text, which is not the ", key, " (", *named,
                              "); only those two can be added"));
  }

  absl::StatusOr<bool> FlagOr(const char* key, bool fallback) const {
    const Json& value = Member(config_, key);
    if (value.is_null()) return fallback;
    if (!value.is_boolean())
      return InvalidFile(config_path_, absl::StrCat(key, " is not true or false"));
    return value.get<bool>();
  }

  absl::StatusOr<std::string> ReadTemplate() const {
    const fs::path file = folder_ / "chat_template.jinja";
    if (fs::exists(file)) return ReadTextFile(file);
    const Json& value = Member(config_, "chat_template");
    if (value.is_null()) return std::string();
    if (value.is_string()) return value.get<std::string>();
    for (const Json& item : value.is_array() ? value : Json::array()) {
      if (!item.is_object() || TokenText(Member(item, "name")) != "default") continue;
      if (Member(item, "template").is_string()) return Member(item, "template").get<std::string>();
    }
    return InvalidFile(config_path_,
                       "chat_template is neither a text nor a list with one named 'default'");
  }

  const fs::path& folder_;
  const fs::path config_path_ = folder_ / "tokenizer_config.json";
  const fs::path model_path_ = folder_ / "config.json";
  Json config_ = Json::object();
  Json model_;
  HfTokenizer tokenizer_;
};

}  // namespace

absl::StatusOr<HfTokenizer> ReadHfTokenizer(const std::filesystem::path& folder) {
  return FolderReader(folder).Read();
}

}  // namespace crossover::llm
