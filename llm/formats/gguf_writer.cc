#include "llm/formats/gguf_writer.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/formats/dequantize.h"

namespace crossover::llm {
namespace {

template <typename T>
void PutInto(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutStringInto(std::string& out, std::string_view text) {
  PutInto<uint64_t>(out, text.size());
  out.append(text);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufWriter>> GgufWriter::Create(const std::filesystem::path& path,
                                                               uint32_t alignment) {
  if (!std::has_single_bit(alignment)) {
    return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
                 absl::StrCat(path.string(), ": alignment ", alignment, " is no power of two"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  std::unique_ptr<GgufWriter> writer(new GgufWriter(std::move(file), path.string(), alignment));
  if (alignment != 32) RETURN_IF_ERROR(writer->AddUint32("general.alignment", alignment));
  return writer;
}

std::unique_ptr<GgufWriter> GgufWriter::ToMemory(std::string name, std::string& bytes) {
  std::unique_ptr<GgufWriter> writer(new GgufWriter(nullptr, std::move(name), 32));
  writer->memory_ = &bytes;
  return writer;
}

GgufWriter::GgufWriter(std::unique_ptr<AtomicFile> file, std::string path, uint32_t alignment)
    : file_(std::move(file)), path_(std::move(path)), alignment_(alignment) {}

absl::Status GgufWriter::Invalid(std::string_view message) const {
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat(path_, ": ", ToAbsl(message)));
}

template <typename T>
void GgufWriter::Put(T value) {
  PutInto(metadata_, value);
}

void GgufWriter::PutString(std::string_view text) { PutStringInto(metadata_, text); }

absl::Status GgufWriter::BeginEntry(std::string_view key, GgufType type) {
  if (header_written_) return Invalid("metadata cannot follow tensor data");
  if (key.empty() || !keys_.emplace(key).second) {
    return Invalid(absl::StrCat("metadata key '", ToAbsl(key), "' is empty or given twice"));
  }
  PutString(key);
  Put(static_cast<uint32_t>(type));
  ++metadata_count_;
  return absl::OkStatus();
}

absl::Status GgufWriter::AddString(std::string_view key, std::string_view value) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kString));
  PutString(value);
  return absl::OkStatus();
}

absl::Status GgufWriter::AddUint32(std::string_view key, uint32_t value) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kUint32));
  Put(value);
  return absl::OkStatus();
}

absl::Status GgufWriter::AddFloat32(std::string_view key, float value) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kFloat32));
  Put(value);
  return absl::OkStatus();
}

absl::Status GgufWriter::AddBool(std::string_view key, bool value) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kBool));
  Put(static_cast<uint8_t>(value ? 1 : 0));
  return absl::OkStatus();
}

template <typename T>
absl::Status GgufWriter::AddNumbers(std::string_view key, GgufType element,
                                    const std::vector<T>& values) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kArray));
  Put(static_cast<uint32_t>(element));
  Put<uint64_t>(values.size());
  for (const T value : values) Put(value);
  return absl::OkStatus();
}

absl::Status GgufWriter::AddInts(std::string_view key, const std::vector<int32_t>& values) {
  return AddNumbers(key, GgufType::kInt32, values);
}

absl::Status GgufWriter::AddFloats(std::string_view key, const std::vector<float>& values) {
  return AddNumbers(key, GgufType::kFloat32, values);
}

absl::Status GgufWriter::AddStrings(std::string_view key, const std::vector<std::string>& values) {
  RETURN_IF_ERROR(BeginEntry(key, GgufType::kArray));
  Put(static_cast<uint32_t>(GgufType::kString));
  Put<uint64_t>(values.size());
  for (const std::string& value : values) PutString(value);
  return absl::OkStatus();
}

absl::Status GgufWriter::AddEncoded(const GgufMetadata& entry) {
  RETURN_IF_ERROR(BeginEntry(entry.key, entry.type));
  if (entry.type == GgufType::kArray) {
    Put(static_cast<uint32_t>(entry.element));
    Put(entry.count);
  }
  metadata_.append(reinterpret_cast<const char*>(entry.encoded.data()), entry.encoded.size());
  return absl::OkStatus();
}

absl::Status GgufWriter::AddTensor(std::string_view name, TensorType type,
                                   std::vector<int64_t> shape) {
  if (header_written_) return Invalid("tensors cannot be added after data");
  if (name.empty() || name.size() > 63 || !names_.emplace(name).second) {
    return Invalid(
        absl::StrCat("tensor name '", ToAbsl(name), "' is given twice or not 1 to 63 bytes long"));
  }
  int64_t values = 1;
  for (const int64_t size : shape) {
    if (size < 1 || __builtin_mul_overflow(values, size, &values)) values = 0;
  }
  if (shape.empty() || shape.size() > 4 || values == 0 ||
      shape.back() % BlockSizeOf(type).values != 0) {
    return Invalid(absl::StrCat("tensor '", ToAbsl(name), "' has a shape that ",
                                ToAbsl(NameOf(type)), " cannot hold"));
  }
  const uint64_t bytes = static_cast<uint64_t>(BytesOf(type, values));
  tensors_.push_back({std::string(name), type, std::move(shape), bytes, data_size_});
  data_size_ += (bytes + alignment_ - 1) / alignment_ * alignment_;
  return absl::OkStatus();
}

absl::Status GgufWriter::Write(std::string_view bytes) {
  if (file_ != nullptr) return file_->Append(bytes);
  memory_->append(bytes);
  return absl::OkStatus();
}

absl::Status GgufWriter::WriteHeader() {
  header_written_ = true;
  std::string header = "GGUF";
  PutInto<uint32_t>(header, 3);
  PutInto<uint64_t>(header, tensors_.size());
  PutInto<uint64_t>(header, metadata_count_);
  std::string infos;
  for (const Pending& tensor : tensors_) {
    PutStringInto(infos, tensor.name);
    PutInto<uint32_t>(infos, tensor.shape.size());
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      PutInto<uint64_t>(infos, *size);
    }
    PutInto(infos, static_cast<uint32_t>(tensor.type));
    PutInto<uint64_t>(infos, tensor.offset);
  }
  if (file_ != nullptr)
    file_->set_expected_size(header.size() + metadata_.size() + infos.size() + data_size_);
  RETURN_IF_ERROR(Write(header));
  RETURN_IF_ERROR(Write(metadata_));
  metadata_.clear();
  RETURN_IF_ERROR(Write(infos));
  return Pad();
}

absl::Status GgufWriter::Pad() {
  const uint64_t rest = size() % alignment_;
  if (rest == 0) return absl::OkStatus();
  return Write(std::string(alignment_ - rest, '\0'));
}

absl::Status GgufWriter::AppendData(std::span<const std::byte> bytes) {
  if (!header_written_) RETURN_IF_ERROR(WriteHeader());
  if (bytes.empty()) return absl::OkStatus();
  if (next_tensor_ == tensors_.size()) return Invalid("data follow the last tensor");
  const Pending& tensor = tensors_[next_tensor_];
  if (bytes.size() > tensor.bytes - written_of_tensor_) {
    return Invalid(absl::StrCat("tensor '", tensor.name, "' takes ", tensor.bytes, " bytes; ",
                                written_of_tensor_ + bytes.size(), " were given"));
  }
  RETURN_IF_ERROR(Write({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  written_of_tensor_ += bytes.size();
  if (written_of_tensor_ < tensor.bytes) return absl::OkStatus();
  ++next_tensor_;
  written_of_tensor_ = 0;
  return Pad();
}

absl::Status GgufWriter::Finish() {
  if (!header_written_) RETURN_IF_ERROR(WriteHeader());
  if (next_tensor_ < tensors_.size()) {
    return Invalid(
        absl::StrCat("tensor '", tensors_[next_tensor_].name, "' has no data or too few"));
  }
  return file_ == nullptr ? absl::OkStatus() : file_->Commit();
}

}  // namespace crossover::llm
