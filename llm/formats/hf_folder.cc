#include "llm/formats/hf_folder.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"

namespace crossover::llm {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

// Names of the folder's weight files.
absl::StatusOr<std::set<std::string>> WeightFiles(const std::filesystem::path& folder) {
  const std::filesystem::path index = folder / kIndexFile;
  if (!std::filesystem::exists(index)) return std::set<std::string>{kSingleFile};
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
  return files;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const HfFolder>> HfFolder::Open(const std::filesystem::path& path) {
  std::shared_ptr<HfFolder> folder(new HfFolder());
  folder->path_ = path.string();
  const std::string config = (path / "config.json").string();
  ASSIGN_OR_RETURN(const std::string json, ReadTextFile(config));
  ASSIGN_OR_RETURN(folder->config_, ModelConfig::FromHfJson(json, config));
  ASSIGN_OR_RETURN(const std::set<std::string> files, WeightFiles(path));
  for (const std::string& name : files) {
    ASSIGN_OR_RETURN(std::shared_ptr<const SafetensorsFile> file,
                     SafetensorsFile::Open(path / name));
    for (const SafetensorsTensor& tensor : file->tensors()) {
      folder->places_.emplace(tensor.name, Place{file.get(), &tensor});
    }
    folder->files_.push_back(std::move(file));
  }
  return std::shared_ptr<const HfFolder>(std::move(folder));
}

absl::StatusOr<HfFolder::Place> HfFolder::Find(const std::string& name) const {
  const auto found = places_.find(name);
  if (found != places_.end()) return found->second;
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(path_, ": tensor '", name, "' is missing"));
}

}  // namespace crossover::llm
