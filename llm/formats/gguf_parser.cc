// Layout (all little-endian, strings = u64 length + bytes):
//   "GGUF" u32:version u64:tensor_count u64:kv_count
//   kv_count × { string:key u32:type value }, value of an array = u32:element_type u64:count
//   elements tensor_count × { string:name u32:n_dims u64:ne[n_dims] u32:ggml_type u64:offset }
//   zeros up to `general.alignment`, then the data; offsets count from there and are exactly
//   cumulative.
#include "llm/formats/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"

namespace crossover::llm {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied without swapping");

constexpr uint64_t kMaxTensorName = 63;  // GGML_MAX_NAME less its NUL
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;

std::string Quoted(std::string_view text) {
  return absl::StrCat("'", absl::CHexEscape(ToAbsl(text.substr(0, 80))), "'");
}

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace

size_t WidthOf(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

GgufParser::GgufParser(std::span<const std::byte> bytes, std::string name)
    : bytes_(bytes), file_(new GgufFile) {
  file_->path_ = std::move(name);
}

absl::StatusOr<std::shared_ptr<GgufFile>> GgufParser::Run() {
  RETURN_IF_ERROR(ReadHeader());
  RETURN_IF_ERROR(ReadMetadata());
  RETURN_IF_ERROR(ApplyAlignment());
  RETURN_IF_ERROR(ReadTensorInfos());
  RETURN_IF_ERROR(PlaceTensorData());
  return file_;
}

absl::Status GgufParser::Invalid(std::string_view message) const {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(file_->path_, ": offset ", offset_, ": ", ToAbsl(message)));
}

absl::Status GgufParser::Unsupported(std::string_view message) const {
  return Error(absl::StatusCode::kUnimplemented, "MODEL_UNSUPPORTED",
               absl::StrCat(file_->path_, ": offset ", offset_, ": ", ToAbsl(message)));
}

template <typename T>
absl::StatusOr<T> GgufParser::Read(std::string_view what) {
  if (left() < sizeof(T)) {
    return Invalid(absl::StrCat("the file ends inside ", ToAbsl(what), " (", bytes_.size(),
                                " bytes); it is truncated, fetch it again"));
  }
  T value;
  std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
  offset_ += sizeof(T);
  return value;
}

absl::StatusOr<std::string_view> GgufParser::ReadString(std::string_view what) {
  ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(what));
  if (length > left()) {
    return Invalid(absl::StrCat(ToAbsl(what), " says it is ", length, " bytes long, but only ",
                                left(), " are left; the file is truncated or damaged"));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + offset_), length);
  offset_ += length;
  return text;
}

absl::StatusOr<GgufType> GgufParser::ReadType(std::string_view what) {
  ASSIGN_OR_RETURN(const uint32_t id, Read<uint32_t>(what));
  if (id > static_cast<uint32_t>(GgufType::kFloat64)) {
    offset_ -= sizeof(uint32_t);
    return Invalid(absl::StrCat(ToAbsl(what), " has value type ", id, "; GGUF defines 0 to 12"));
  }
  return static_cast<GgufType>(id);
}

absl::Status GgufParser::Skip(uint64_t bytes, std::string_view what) {
  if (bytes > left()) {
    return Invalid(absl::StrCat("the file ends inside ", ToAbsl(what), ": ", bytes,
                                " bytes needed, ", left(), " left; it is truncated"));
  }
  offset_ += bytes;
  return absl::OkStatus();
}

absl::Status GgufParser::ReadHeader() {
  if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
    const std::string_view start(reinterpret_cast<const char*>(bytes_.data()),
                                 std::min<size_t>(bytes_.size(), 4));
    return Invalid(absl::StrCat(
        "not a GGUF file: it starts with ", Quoted(start),
        " where 'GGUF' belongs; name a .gguf file, or fetch or convert the model again"));
  }
  offset_ = 4;
  ASSIGN_OR_RETURN(file_->version_, Read<uint32_t>("the version"));
  if ((file_->version_ & 0xffffu) == 0) {
    return Unsupported("the file is big-endian; convert it with gguf-convert-endian");
  }
  if (file_->version_ != 2 && file_->version_ != 3) {
    return Unsupported(absl::StrCat("GGUF version ", file_->version_,
                                    "; versions 2 and 3 are read. Convert the model again"));
  }
  ASSIGN_OR_RETURN(tensor_count_, Read<uint64_t>("the tensor count"));
  ASSIGN_OR_RETURN(metadata_count_, Read<uint64_t>("the metadata count"));
  if (metadata_count_ > left() / kMinEntryBytes || tensor_count_ > left() / kMinTensorInfoBytes) {
    return Invalid(absl::StrCat("the header announces ", metadata_count_, " metadata entries and ",
                                tensor_count_, " tensors, more than ", left(),
                                " bytes can hold; the file is truncated or damaged"));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::ReadMetadata() {
  file_->metadata_.reserve(metadata_count_);
  for (uint64_t i = 0; i < metadata_count_; ++i) {
    ASSIGN_OR_RETURN(const GgufMetadata entry, ReadEntry());
    if (!file_->metadata_index_.emplace(entry.key, i).second) {
      return Invalid(absl::StrCat("metadata key ", Quoted(entry.key), " occurs twice"));
    }
    file_->metadata_.push_back(entry);
  }
  const GgufMetadata* splits = file_->FindMetadata("split.count");
  if (splits == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t count, file_->GetUint("split.count"));
  if (count > 1) {
    return Unsupported(absl::StrCat("the model is split into ", count,
                                    " files; join them with llama-gguf-split --merge"));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufMetadata> GgufParser::ReadEntry() {
  GgufMetadata entry;
  ASSIGN_OR_RETURN(entry.key, ReadString("a metadata key"));
  if (entry.key.empty()) return Invalid("a metadata key is empty");
  const std::string what = absl::StrCat("the value of ", Quoted(entry.key));
  ASSIGN_OR_RETURN(entry.type, ReadType(what));
  entry.element = entry.type;
  entry.count = 1;
  if (entry.type == GgufType::kArray) {
    ASSIGN_OR_RETURN(entry.element, ReadType(what));
    if (entry.element == GgufType::kArray) {
      return Invalid(absl::StrCat(what, " is an array of arrays, which GGUF readers refuse"));
    }
    ASSIGN_OR_RETURN(entry.count, Read<uint64_t>(what));
  }
  const uint64_t start = offset_;
  RETURN_IF_ERROR(SkipElements(entry));
  entry.encoded = bytes_.subspan(start, offset_ - start);
  return entry;
}

absl::Status GgufParser::SkipElements(const GgufMetadata& entry) {
  const std::string what = absl::StrCat("the value of ", Quoted(entry.key));
  const uint64_t width = WidthOf(entry.element);
  const uint64_t at_least = width == 0 ? sizeof(uint64_t) : width;
  if (entry.count > left() / at_least) {
    return Invalid(absl::StrCat(what, " has ", entry.count, " elements, more than the ", left(),
                                " bytes left can hold; the file is truncated or damaged"));
  }
  if (width > 0) return Skip(entry.count * width, what);
  for (uint64_t i = 0; i < entry.count; ++i) RETURN_IF_ERROR(ReadString(what).status());
  return absl::OkStatus();
}

absl::Status GgufParser::ApplyAlignment() {
  ASSIGN_OR_RETURN(const uint64_t alignment, file_->GetUintOr("general.alignment", 32));
  if (alignment == 0 || alignment > (1u << 20) || !std::has_single_bit(alignment)) {
    return Invalid(absl::StrCat("general.alignment is ", alignment,
                                "; it must be a power of two up to 1 MiB"));
  }
  file_->alignment_ = static_cast<uint32_t>(alignment);
  return absl::OkStatus();
}

absl::Status GgufParser::ReadTensorInfos() {
  file_->tensors_.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensorInfo());
    if (!file_->tensor_index_.emplace(tensor.name, i).second) {
      return Invalid(absl::StrCat("tensor ", Quoted(tensor.name), " occurs twice"));
    }
    file_->tensors_.push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufTensor> GgufParser::ReadTensorInfo() {
  GgufTensor tensor;
  ASSIGN_OR_RETURN(tensor.name, ReadString("a tensor name"));
  const std::string what = absl::StrCat("tensor ", Quoted(tensor.name));
  if (tensor.name.empty() || tensor.name.size() > kMaxTensorName) {
    return Invalid(
        absl::StrCat(what, " has a name of ", tensor.name.size(), " bytes; 1 to 63 are allowed"));
  }
  ASSIGN_OR_RETURN(const uint32_t dims, Read<uint32_t>(what));
  if (dims == 0 || dims > kMaxDims) {
    return Invalid(absl::StrCat(what, " has ", dims, " dimensions; 1 to 4 are allowed"));
  }
  uint64_t values = 1;
  for (uint32_t d = 0; d < dims; ++d) {
    ASSIGN_OR_RETURN(const uint64_t size, Read<uint64_t>(what));
    if (size == 0) return Invalid(absl::StrCat(what, " has an empty dimension"));
    if (size > static_cast<uint64_t>(INT64_MAX) || __builtin_mul_overflow(values, size, &values) ||
        values > static_cast<uint64_t>(INT64_MAX)) {
      return Invalid(absl::StrCat(what, " has dimensions whose product overflows 63 bits"));
    }
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  ASSIGN_OR_RETURN(const uint32_t type_id, Read<uint32_t>(what));
  const std::optional<TensorType> type = TensorTypeFromGgml(type_id);
  if (!type) {
    offset_ -= sizeof(uint32_t);
    return Unsupported(absl::StrCat(
        what, " has ggml type ", type_id, " (", ToAbsl(GgmlTypeName(type_id)),
        "). Types read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K; "
        "requantise the model to one of them (llama-quantize) or choose another file"));
  }
  tensor.type = *type;
  const BlockSize block = BlockSizeOf(*type);
  if (tensor.row_size() % block.values != 0) {
    return Invalid(absl::StrCat(what, " has rows of ", tensor.row_size(), " values; ",
                                ToAbsl(NameOf(*type)), " needs a multiple of ", block.values));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(values / static_cast<uint64_t>(block.values),
                             static_cast<uint64_t>(block.bytes), &bytes) ||
      bytes > (uint64_t{1} << 62)) {
    return Invalid(absl::StrCat(what, " is larger than any file"));
  }
  tensor_bytes_.push_back(bytes);
  ASSIGN_OR_RETURN(const uint64_t offset, Read<uint64_t>(what));
  tensor_offsets_.push_back(offset);
  return tensor;
}

absl::Status GgufParser::PlaceTensorData() {
  const uint64_t data_start = AlignUp(offset_, file_->alignment_);
  uint64_t expected = 0;
  for (size_t i = 0; i < file_->tensors_.size(); ++i) {
    GgufTensor& tensor = file_->tensors_[i];
    const std::string what = absl::StrCat("tensor ", Quoted(tensor.name));
    if (tensor_offsets_[i] != expected) {
      return Invalid(absl::StrCat(what, " is at data offset ", tensor_offsets_[i], ", but ",
                                  expected, " follows from the tensors before it"));
    }
    if (data_start > bytes_.size() || expected > bytes_.size() - data_start ||
        tensor_bytes_[i] > bytes_.size() - data_start - expected) {
      return Invalid(absl::StrCat(what, " needs ", tensor_bytes_[i], " bytes at ", data_start,
                                  " + ", expected, ", but the file has ", bytes_.size(),
                                  "; it is truncated, fetch it again"));
    }
    tensor.data = bytes_.subspan(data_start + expected, tensor_bytes_[i]);
    expected = AlignUp(expected + tensor_bytes_[i], file_->alignment_);
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm
