#include "llm/formats/gguf_file.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/gguf_parser.h"

namespace crossover::llm {
namespace {

template <typename T>
T Load(std::span<const std::byte> bytes, size_t index = 0) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

bool IsInteger(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kUint16:
    case GgufType::kInt16:
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kUint64:
    case GgufType::kInt64:
      return true;
    default:
      return false;
  }
}

// Integers beyond int64 do not occur in models; they come out negative and are refused by range
// checks.
int64_t IntegerAt(const GgufMetadata& entry, size_t index) {
  switch (entry.element) {
    case GgufType::kUint8:
      return Load<uint8_t>(entry.encoded, index);
    case GgufType::kInt8:
      return Load<int8_t>(entry.encoded, index);
    case GgufType::kUint16:
      return Load<uint16_t>(entry.encoded, index);
    case GgufType::kInt16:
      return Load<int16_t>(entry.encoded, index);
    case GgufType::kUint32:
      return Load<uint32_t>(entry.encoded, index);
    case GgufType::kInt32:
      return Load<int32_t>(entry.encoded, index);
    default:
      return Load<int64_t>(entry.encoded, index);
  }
}

std::string_view StringAt(std::span<const std::byte>& rest) {
  const uint64_t length = Load<uint64_t>(rest);
  const std::string_view text(reinterpret_cast<const char*>(rest.data()) + sizeof(uint64_t),
                              length);
  rest = rest.subspan(sizeof(uint64_t) + length);
  return text;
}

}  // namespace

int64_t GgufTensor::values() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

absl::StatusOr<std::shared_ptr<const GgufFile>> GgufFile::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping, MappedFile::Open(path));
  ASSIGN_OR_RETURN(std::shared_ptr<GgufFile> file,
                   GgufParser(mapping->bytes(), path.string()).Run());
  file->mapping_ = std::move(mapping);
  return std::shared_ptr<const GgufFile>(std::move(file));
}

absl::StatusOr<std::shared_ptr<const GgufFile>> GgufFile::Parse(std::span<const std::byte> bytes,
                                                                std::string name) {
  ASSIGN_OR_RETURN(std::shared_ptr<GgufFile> file, GgufParser(bytes, std::move(name)).Run());
  return std::shared_ptr<const GgufFile>(std::move(file));
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufMetadata* GgufFile::FindMetadata(std::string_view key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata_[found->second];
}

absl::StatusOr<const GgufTensor*> GgufFile::Tensor(std::string_view name) const {
  const GgufTensor* tensor = FindTensor(name);
  if (tensor == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(path_, ": tensor '", ToAbsl(name), "' is missing"));
  }
  return tensor;
}

absl::StatusOr<const GgufMetadata*> GgufFile::Require(std::string_view key) const {
  const GgufMetadata* entry = FindMetadata(key);
  if (entry == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(path_, ": metadata key '", ToAbsl(key), "' is missing"));
  }
  return entry;
}

absl::Status GgufFile::WrongKind(const GgufMetadata& entry, std::string_view wanted) const {
  return Error(
      absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
      absl::StrCat(path_, ": metadata key '", ToAbsl(entry.key), "' has value type ",
                   static_cast<uint32_t>(entry.type), " where ", ToAbsl(wanted), " is expected"));
}

absl::StatusOr<uint64_t> GgufFile::GetUint(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (!IsInteger(entry->type)) return WrongKind(*entry, "an integer");
  const int64_t value = IntegerAt(*entry, 0);
  if (value < 0) return WrongKind(*entry, "an integer from 0 to 2^63-1");
  return static_cast<uint64_t>(value);
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (entry->type == GgufType::kFloat32) return Load<float>(entry->encoded);
  if (entry->type == GgufType::kFloat64) return Load<double>(entry->encoded);
  return WrongKind(*entry, "a floating-point number");
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (entry->type != GgufType::kBool) return WrongKind(*entry, "a bool");
  return entry->encoded[0] != std::byte{0};
}

absl::StatusOr<std::string> GgufFile::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (entry->type != GgufType::kString) return WrongKind(*entry, "a string");
  std::span<const std::byte> rest = entry->encoded;
  return std::string(StringAt(rest));
}

absl::StatusOr<std::vector<std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (entry->type != GgufType::kArray || entry->element != GgufType::kString) {
    return WrongKind(*entry, "an array of strings");
  }
  std::vector<std::string_view> strings;
  strings.reserve(entry->count);
  std::span<const std::byte> rest = entry->encoded;
  for (uint64_t i = 0; i < entry->count; ++i) strings.push_back(StringAt(rest));
  return strings;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufMetadata* entry, Require(key));
  if (entry->type != GgufType::kArray || !IsInteger(entry->element)) {
    return WrongKind(*entry, "an array of integers");
  }
  std::vector<int64_t> values(entry->count);
  for (uint64_t i = 0; i < entry->count; ++i) values[i] = IntegerAt(*entry, i);
  return values;
}

absl::StatusOr<uint64_t> GgufFile::GetUintOr(std::string_view key, uint64_t fallback) const {
  return Has(key) ? GetUint(key) : fallback;
}

absl::StatusOr<double> GgufFile::GetFloatOr(std::string_view key, double fallback) const {
  return Has(key) ? GetFloat(key) : fallback;
}

absl::StatusOr<bool> GgufFile::GetBoolOr(std::string_view key, bool fallback) const {
  return Has(key) ? GetBool(key) : fallback;
}

absl::StatusOr<std::string> GgufFile::GetStringOr(std::string_view key,
                                                  std::string_view fallback) const {
  return Has(key) ? GetString(key) : std::string(fallback);
}

}  // namespace crossover::llm
