// Layout: u64 N (little-endian, N <= 100,000,000); N bytes of JSON that start with '{' and may end
// in spaces; tensor bytes up to the end of the file. Header: {"__metadata__": {str: str}?, name:
// {"dtype", "shape", "data_offsets": [begin, end]}, …}, offsets relative to the end of the header.
#include "llm/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/safetensors_writer.h"

namespace crossover::llm {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeader = 100'000'000;

// Parses JSON and notes a duplicate key of any object, which nlohmann would silently drop.
Json ParseWithoutDuplicates(std::string_view text, std::optional<std::string>& duplicate) {
  std::vector<std::set<std::string>> keys;
  const Json::parser_callback_t watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      std::string key = parsed.get<std::string>();
      if (!keys.back().insert(key).second) duplicate = std::move(key);
    }
    return true;
  };
  return Json::parse(text, watch, /*allow_exceptions=*/false);
}

}  // namespace

int64_t SafetensorsTensor::values() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

// Private to this file, but named in the header as a friend.
class SafetensorsParser {
 public:
  SafetensorsParser(std::span<const std::byte> bytes, std::string name)
      : bytes_(bytes), file_(new SafetensorsFile) {
    file_->path_ = std::move(name);
  }

  absl::StatusOr<std::shared_ptr<SafetensorsFile>> Run() {
    ASSIGN_OR_RETURN(const Json header, ReadHeader());
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        RETURN_IF_ERROR(ReadMetadata(value));
      } else {
        RETURN_IF_ERROR(ReadTensor(name, value));
      }
    }
    RETURN_IF_ERROR(PlaceTensors());
    return file_;
  }

 private:
  struct Placed {
    SafetensorsTensor tensor;
    uint64_t begin;
    uint64_t end;
  };

  absl::Status Invalid(std::string_view message) const {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(file_->path_, ": ", ToAbsl(message)));
  }

  absl::StatusOr<Json> ReadHeader() {
    if (bytes_.size() < 8) {
      return Invalid(absl::StrCat("not a safetensors file: ", bytes_.size(), " bytes"));
    }
    uint64_t length;
    std::memcpy(&length, bytes_.data(), sizeof(length));
    if (length > kMaxHeader || length > bytes_.size() - 8) {
      return Invalid(absl::StrCat("offset 0: the header says it is ", length,
                                  " bytes long, the file has ", bytes_.size(),
                                  "; not safetensors, or truncated"));
    }
    data_ = bytes_.subspan(8 + length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + 8, length);
    if (!text.starts_with('{')) return Invalid("offset 8: the header is not a JSON object");
    std::optional<std::string> duplicate;
    Json header = ParseWithoutDuplicates(text, duplicate);
    if (!header.is_object()) return Invalid("offset 8: the header is not valid JSON");
    if (duplicate) return Invalid(absl::StrCat("'", *duplicate, "' occurs twice in the header"));
    return header;
  }

  absl::Status ReadMetadata(const Json& value) {
    if (!value.is_object()) return Invalid("'__metadata__' is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        return Invalid(absl::StrCat("'__metadata__' key '", key, "' is not a string"));
      }
      file_->metadata_[key] = text.get<std::string>();
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensor(const std::string& name, const Json& value) {
    const std::string what = absl::StrCat("tensor '", name, "'");
    const auto has = [&](const char* key) { return value.is_object() && value.contains(key); };
    if (!has("dtype") || !has("shape") || !has("data_offsets") || !value["dtype"].is_string() ||
        !value["shape"].is_array() || !value["data_offsets"].is_array() ||
        value["data_offsets"].size() != 2) {
      return Invalid(what + " needs dtype, shape and two data_offsets");
    }
    Placed placed{.tensor = {.name = name}, .begin = 0, .end = 0};
    const std::string dtype = value["dtype"].get<std::string>();
    const std::optional<Dtype> known = DtypeOf(dtype);
    if (!known) return Invalid(absl::StrCat(what, " has unknown dtype '", dtype, "'"));
    placed.tensor.dtype = *known;
    for (const Json& size : value["shape"]) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() > uint64_t{1} << 62) {
        return Invalid(what + " has a size that is not a number from 0 to 2^62");
      }
      placed.tensor.shape.push_back(size.get<int64_t>());
    }
    const Json& offsets = value["data_offsets"];
    if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
      return Invalid(what + " has data_offsets that are not whole numbers");
    }
    placed.begin = offsets[0].get<uint64_t>();
    placed.end = offsets[1].get<uint64_t>();
    placed_.push_back(std::move(placed));
    return absl::OkStatus();
  }

  absl::Status PlaceTensors() {
    std::sort(placed_.begin(), placed_.end(), [](const Placed& a, const Placed& b) {
      return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
    });
    uint64_t expected = 0;
    for (Placed& placed : placed_) {
      const std::string what = absl::StrCat("tensor '", placed.tensor.name, "'");
      if (placed.begin != expected || placed.end < placed.begin) {
        return Invalid(absl::StrCat(what, " lies at [", placed.begin, ", ", placed.end,
                                    "), but the bytes before it end at ", expected));
      }
      const std::optional<uint64_t> bytes = BytesFor(placed.tensor.dtype, placed.tensor.shape);
      if (!bytes || *bytes != placed.end - placed.begin) {
        return Invalid(absl::StrCat(what, " has ", placed.end - placed.begin,
                                    " bytes, which its shape and dtype do not give"));
      }
      if (placed.end > data_.size()) {
        return Invalid(absl::StrCat(what, " ends at ", placed.end, ", but only ", data_.size(),
                                    " bytes of data follow the header; the file is truncated"));
      }
      placed.tensor.data = data_.subspan(placed.begin, placed.end - placed.begin);
      expected = placed.end;
      file_->tensors_.push_back(std::move(placed.tensor));
    }
    if (expected != data_.size()) {
      return Invalid(absl::StrCat(data_.size() - expected, " bytes follow the last tensor"));
    }
    for (size_t i = 0; i < file_->tensors_.size(); ++i) {
      file_->index_.emplace(file_->tensors_[i].name, i);
    }
    return absl::OkStatus();
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  std::vector<Placed> placed_;
  std::shared_ptr<SafetensorsFile> file_;
};

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(path));
  ASSIGN_OR_RETURN(std::shared_ptr<SafetensorsFile> file,
                   SafetensorsParser(mapping->bytes(), path.string()).Run());
  file->mapping_ = std::move(mapping);
  return std::shared_ptr<const SafetensorsFile>(std::move(file));
}

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Parse(
    std::span<const std::byte> bytes, std::string name) {
  ASSIGN_OR_RETURN(std::shared_ptr<SafetensorsFile> file,
                   SafetensorsParser(bytes, std::move(name)).Run());
  return std::shared_ptr<const SafetensorsFile>(std::move(file));
}

const SafetensorsTensor* SafetensorsFile::FindTensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

absl::Status WriteSafetensors(const std::filesystem::path& path,
                              std::vector<SafetensorsTensor> tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string_view, std::span<const std::byte>> data;
  for (const SafetensorsTensor& tensor : tensors) {
    entries.push_back({tensor.name, tensor.dtype, tensor.shape});
    data[tensor.name] = tensor.data;
    if (BytesFor(tensor.dtype, tensor.shape) != tensor.data.size()) {
      return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                   absl::StrCat(path.string(), ": tensor '", tensor.name,
                                "' has data of another size than its shape"));
    }
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsWriter> writer,
                   SafetensorsWriter::Create(path, std::move(entries), metadata));
  for (const SafetensorsEntry& entry : writer->entries()) {
    RETURN_IF_ERROR(writer->Append(data[entry.name]));
  }
  return writer->Finish();
}

}  // namespace crossover::llm
