#include "llm/formats/hf_folder.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/hf_listing.h"
#include "llm/formats/nf4.h"

namespace crossover::llm {

absl::StatusOr<std::shared_ptr<const HfFolder>> HfFolder::Open(const std::filesystem::path& path) {
  std::shared_ptr<HfFolder> folder(new HfFolder());
  folder->path_ = path.string();
  ASSIGN_OR_RETURN(folder->config_, ModelConfig::FromHfFolder(path));
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

absl::StatusOr<HfFolder::Place> HfFolder::Weight(const WeightSpec& spec) const {
  ASSIGN_OR_RETURN(const Place place, Find(spec.hf_name));
  if (HasBitsandbytesState(*place.file, spec.hf_name)) return place;
  if (place.tensor->shape != spec.shape) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(place.file->path(), ": tensor '", spec.hf_name, "' has shape [",
                              absl::StrJoin(place.tensor->shape, ", "), "]; config.json says [",
                              absl::StrJoin(spec.shape, ", "), "]"));
  }
  const Dtype dtype = place.tensor->dtype;
  if (dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBf16) return place;
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(place.file->path(), ": tensor '", spec.hf_name, "' is of type ",
                            std::string(NameOf(dtype)),
                            "; weights of type F32, F16, BF16 and bitsandbytes' NF4 are read"));
}

}  // namespace crossover::llm
