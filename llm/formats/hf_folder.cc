#include "llm/formats/hf_folder.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/hf_listing.h"

namespace crossover::llm {

absl::StatusOr<std::shared_ptr<const HfFolder>> HfFolder::Open(const std::filesystem::path& path) {
  std::shared_ptr<HfFolder> folder(new HfFolder());
  folder->path_ = path.string();
  const std::string config = (path / kHfConfigFile).string();
  ASSIGN_OR_RETURN(const std::string json, ReadTextFile(config));
  ASSIGN_OR_RETURN(folder->config_, ModelConfig::FromHfJson(json, config));
  ASSIGN_OR_RETURN(const std::set<std::string> files, HfWeightFiles(path));
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
