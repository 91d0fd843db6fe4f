// The parsing half of GgufFile. Private to this room.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "llm/formats/gguf_file.h"

namespace crossover::llm {

// Bytes one element of a fixed-width type takes; 0 for strings and arrays.
size_t WidthOf(GgufType type);

// Reads one file from front to back. Every read is bounds-checked against what is left, and every
// count against the bytes its elements need at least, so that a hostile count allocates nothing.
class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string name);

  absl::StatusOr<std::shared_ptr<GgufFile>> Run();

 private:
  absl::Status ReadHeader();
  absl::Status ReadMetadata();
  absl::StatusOr<GgufMetadata> ReadEntry();
  absl::Status SkipElements(const GgufMetadata& entry);
  absl::Status ApplyAlignment();
  absl::Status ReadTensorInfos();
  absl::StatusOr<GgufTensor> ReadTensorInfo();
  absl::Status PlaceTensorData();

  template <typename T>
  absl::StatusOr<T> Read(std::string_view what);
  absl::StatusOr<std::string_view> ReadString(std::string_view what);
  absl::StatusOr<GgufType> ReadType(std::string_view what);
  absl::Status Skip(uint64_t bytes, std::string_view what);

  absl::Status Invalid(std::string_view message) const;
  absl::Status Unsupported(std::string_view message) const;
  uint64_t left() const { return bytes_.size() - offset_; }

  std::span<const std::byte> bytes_;
  uint64_t offset_ = 0;
  uint64_t metadata_count_ = 0;
  uint64_t tensor_count_ = 0;
  // Parallel to file_->tensors_ until the data section is reached.
  std::vector<uint64_t> tensor_offsets_;
  std::vector<uint64_t> tensor_bytes_;
  std::shared_ptr<GgufFile> file_;
};

}  // namespace crossover::llm
