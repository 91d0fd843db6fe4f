#include "llm/formats/hf_listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"

namespace crossover::llm {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// `hint` says what to do about one that is missing.
absl::Status RequireFile(const std::filesystem::path& path, std::string_view hint) {
  std::error_code code;
  const std::filesystem::file_status status = std::filesystem::status(path, code);
  if (std::filesystem::is_regular_file(status)) return absl::OkStatus();
  if (status.type() == std::filesystem::file_type::not_found) {
    return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                 absl::StrCat(path.string(), " is missing", ToAbsl(hint)));
  }
  return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
               absl::StrCat(path.string(), code ? ": " + code.message() : " is not a file"));
}

// A link to nothing is there, too: a folder that was not fetched whole is not read in part.
bool IsThere(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
}

// What links of the folder may lead into: itself, or the model's part of the cache of Hugging Face,
// where MODEL/snapshots/REVISION is made of links to MODEL/blobs.
std::filesystem::path RootOf(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::canonical(folder);
  const std::filesystem::path parent = whole.parent_path();
  return parent.filename() == "snapshots" ? parent.parent_path() : whole;
}

absl::Status RequireInside(const std::filesystem::path& folder, const std::string& name) try {
  const std::filesystem::path root = RootOf(folder);
  const std::filesystem::path target = std::filesystem::canonical(folder / name);
  const auto [rest, unused] = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (rest == root.end()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
               absl::StrCat((folder / name).string(), " is a link to ", target.string(),
                            ", which is outside of ", root.string(),
                            "; put the file itself into the folder"));
} catch (const std::filesystem::filesystem_error& e) {
  return Error(absl::StatusCode::kFailedPrecondition, "FILE_UNREADABLE",
               absl::StrCat((folder / name).string(), ": ", e.code().message()));
}

// A file of torch.save in the folder; "" without one.
std::string FindPickle(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(folder, ignored), end; it != end;
       it.increment(ignored)) {
    const std::string name = it->path().filename().string();
    const bool torch = absl::EndsWith(name, ".pt") || absl::EndsWith(name, ".pth") ||
                       (absl::StartsWith(name, "pytorch_model") && absl::EndsWith(name, ".bin"));
    if (torch) return name;
  }
  return "";
}

absl::Status NoWeights(const std::filesystem::path& folder) {
  const std::string pickle = FindPickle(folder);
  if (pickle.empty()) {
    return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                 absl::StrCat(folder.string(), " has no weights: neither ", kSingleFile, " nor ",
                              kIndexFile, " is there"));
  }
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat((folder / pickle).string(),
                            " is a pickle, which may run any program when it is read; convert it "
                            "to safetensors: transformers' AutoModelForCausalLM"
                            ".from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) writes them"));
}

absl::StatusOr<std::set<std::string>> FilesOfIndex(const std::filesystem::path& index) {
  const auto invalid = [&](const std::string& what) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(index.string(), ": ", what));
  };
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(index));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    return invalid("has no object weight_map");
  std::set<std::string> files;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) return invalid(absl::StrCat("the file of '", tensor, "' is no text"));
    const std::string name = file.get<std::string>();
    if (name.empty() || std::filesystem::path(name).filename() != name || name == "..")
      return invalid(absl::StrCat("'", name, "' is not the name of a file in this folder"));
    files.insert(name);
  }
  if (files.empty()) return invalid("weight_map is empty");
  return files;
}

}  // namespace

absl::StatusOr<std::set<std::string>> HfWeightFiles(const std::filesystem::path& folder) {
  if (!IsThere(folder / kIndexFile)) {
    if (!IsThere(folder / kSingleFile)) return NoWeights(folder);
    return std::set<std::string>{kSingleFile};
  }
  ASSIGN_OR_RETURN(std::set<std::string> files, FilesOfIndex(folder / kIndexFile));
  for (const std::string& name : files) {
    RETURN_IF_ERROR(RequireFile(
        folder / name, absl::StrCat("; ", kIndexFile, " names it: fetch the whole folder")));
  }
  return files;
}

absl::StatusOr<std::vector<std::string>> HfModelFiles(const std::filesystem::path& folder) {
  RETURN_IF_ERROR(RequireFile(folder / kHfConfigFile,
                              "; name the folder that has it (in the cache of Hugging Face one "
                              "below snapshots)"));
  ASSIGN_OR_RETURN(std::set<std::string> files, HfWeightFiles(folder));
  RETURN_IF_ERROR(RequireFile(folder / kHfTokenizerFile,
                              "; transformers writes it where AutoTokenizer.from_pretrained(…)"
                              ".save_pretrained(…) is called (tokenizer.model and vocab.json alone "
                              "are not read)"));
  files.insert(kHfConfigFile);
  for (const std::string_view name : kHfTokenizerFiles) {
    if (IsThere(folder / name)) files.emplace(name);
  }
  for (const char* name : {"generation_config.json", kIndexFile}) {
    if (IsThere(folder / name)) files.insert(name);
  }
  for (const std::string& name : files) RETURN_IF_ERROR(RequireFile(folder / name, ""));
  return std::vector<std::string>(files.begin(), files.end());
}

absl::Status CheckHfLinks(const std::filesystem::path& folder,
                          const std::vector<std::string>& files) {
  for (const std::string& name : files) RETURN_IF_ERROR(RequireInside(folder, name));
  return absl::OkStatus();
}

}  // namespace crossover::llm
