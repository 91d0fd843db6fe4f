#include "common/blob/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/json/canonical.h"
#include "common/json/digest.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover {
namespace {

constexpr char kFormat[] = "crossover.artifact.v1";

absl::Status Invalid(const std::string& why) {
  return Error(absl::StatusCode::kInvalidArgument, "MANIFEST_INVALID",
               "not a valid artifact manifest: " + why);
}

// `files` is sorted by path.
absl::Status Check(const Manifest& manifest) {
  if (manifest.kind.empty()) return Invalid("kind is empty");
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const ManifestFile& file = manifest.files[i];
    if (!IsSafeRelativePath(file.path)) {
      return Invalid("path '" + file.path + "' does not stay inside the artifact");
    }
    if (!IsDigest(file.sha256))
      return Invalid("'" + file.sha256 + "' of " + file.path + " is not a digest");
    if (file.size < 0) return Invalid("the size of " + file.path + " is negative");
    if (i == 0) continue;
    const std::string& previous = manifest.files[i - 1].path;
    if (previous == file.path) return Invalid("path '" + file.path + "' occurs twice");
    if (previous > file.path) return Invalid("files are not sorted by path");
  }
  return absl::OkStatus();
}

}  // namespace

const ManifestFile* Manifest::Find(std::string_view path) const {
  for (const ManifestFile& file : files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

int64_t Manifest::TotalSize() const {
  int64_t total = 0;
  for (const ManifestFile& file : files) total += file.size;
  return total;
}

bool IsSafeRelativePath(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) return false;
  size_t begin = 0;
  for (;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (end == path.size()) return true;
    begin = end + 1;
  }
}

absl::StatusOr<std::string> SerializeManifest(Manifest manifest) {
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.path < b.path; });
  RETURN_IF_ERROR(Check(manifest));
  nlohmann::json files = nlohmann::json::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}});
  }
  return CanonicalJson({{"format", kFormat}, {"kind", manifest.kind}, {"files", std::move(files)}});
}

absl::StatusOr<Manifest> ParseManifest(std::string_view bytes) {
  const nlohmann::json json = nlohmann::json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", nlohmann::json()) != kFormat) {
    return Invalid(std::string("it is not a JSON object of format ") + kFormat);
  }
  Manifest out;
  try {
    out.kind = json.at("kind").get<std::string>();
    for (const nlohmann::json& file : json.at("files")) {
      out.files.push_back({file.at("path").get<std::string>(), file.at("size").get<int64_t>(),
                           file.at("sha256").get<std::string>()});
    }
  } catch (const nlohmann::json::exception& e) {
    return Invalid(e.what());
  }
  RETURN_IF_ERROR(Check(out));
  return out;
}

absl::StatusOr<std::string> ManifestDigest(const Manifest& manifest) {
  ASSIGN_OR_RETURN(const std::string bytes, SerializeManifest(manifest));
  return DigestOf(bytes);
}

}  // namespace crossover
