#include "llm/formats/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {

SafetensorsWriter::SafetensorsWriter(std::unique_ptr<AtomicFile> file, std::string path,
                                     std::vector<SafetensorsEntry> entries, uint64_t size)
    : file_(std::move(file)), path_(std::move(path)), entries_(std::move(entries)), size_(size) {}

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::filesystem::path& path, std::vector<SafetensorsEntry> entries,
    const std::map<std::string, std::string>& metadata) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
            });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const SafetensorsEntry& entry : entries) {
    const std::optional<uint64_t> bytes = BytesFor(entry.dtype, entry.shape);
    if (!bytes || entry.name == "__metadata__") {
      return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                   absl::StrCat(path.string(), ": tensor '", entry.name,
                                "' has a reserved name, or a shape without a size"));
    }
    header[entry.name] = {{"dtype", NameOf(entry.dtype)},
                          {"shape", entry.shape},
                          {"data_offsets", {offset, offset + *bytes}}};
    offset += *bytes;
  }
  if (header.size() != entries.size() + (metadata.empty() ? 0 : 1)) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(path.string(), ": two tensors have one name"));
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  const uint64_t size = sizeof(length) + length + offset;
  file->set_expected_size(size);
  RETURN_IF_ERROR(file->Append(std::as_bytes(std::span(&length, 1))));
  RETURN_IF_ERROR(file->Append(text));
  return std::unique_ptr<SafetensorsWriter>(
      new SafetensorsWriter(std::move(file), path.string(), std::move(entries), size));
}

absl::Status SafetensorsWriter::WrongLength() const {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(path_, ": the data do not have the length of the tensors' shapes"));
}

absl::Status SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  if (bytes.size() > size_ - file_->size()) return WrongLength();
  return file_->Append(bytes);
}

absl::Status SafetensorsWriter::Finish() {
  if (file_->size() != size_) return WrongLength();
  return file_->Commit();
}

}  // namespace crossover::llm
