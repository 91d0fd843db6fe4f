// Reader of GGUF model files, versions 2 and 3, little-endian (ggml/docs/gguf.md; layout restated
// in gguf_file.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/formats/mapped_file.h"
#include "llm/formats/tensor_type.h"

namespace crossover::llm {

enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// One metadata entry. Views point into the file and live as long as it.
struct GgufMetadata {
  std::string_view key;
  GgufType type;
  // The element type of an array (equal to `type` otherwise) and the number of elements (1
  // otherwise).
  GgufType element;
  uint64_t count;
  // The elements as encoded, without type words and count: what GgufWriter::AddEncoded takes.
  std::span<const std::byte> encoded;
};

// One tensor. Views point into the file and live as long as it.
struct GgufTensor {
  std::string_view name;
  TensorType type;
  // Outermost first, as torch writes it: a linear layer is {out, in}. ggml's `ne` is the reverse.
  std::vector<int64_t> shape;
  // Row after row, without padding between rows.
  std::span<const std::byte> data;

  int64_t values() const;
  // Length of the contiguous dimension.
  int64_t row_size() const { return shape.back(); }
  int64_t rows() const { return values() / row_size(); }
};

// Immutable and thread-safe. Everything in the header is checked before Open returns, so tensors()
// can be read without further checks.
//
// Errors name the file and, where they apply, the byte offset and the key or tensor:
//   NotFound FILE_MISSING, InvalidArgument FORMAT_INVALID (not GGUF, truncated,
//   inconsistent), Unimplemented MODEL_UNSUPPORTED (version 1, big-endian, split files, a
//   tensor type outside TensorType).
class GgufFile {
 public:
  static absl::StatusOr<std::shared_ptr<const GgufFile>> Open(const std::filesystem::path& path);

  // Parses bytes the caller keeps alive; `name` stands for the path in messages.
  static absl::StatusOr<std::shared_ptr<const GgufFile>> Parse(std::span<const std::byte> bytes,
                                                               std::string name);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }

  // In file order.
  const std::vector<GgufMetadata>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  // nullptr if there is none of this name.
  const GgufTensor* FindTensor(std::string_view name) const;
  const GgufMetadata* FindMetadata(std::string_view key) const;
  bool Has(std::string_view key) const { return FindMetadata(key) != nullptr; }

  // InvalidArgument FORMAT_INVALID, naming the tensor, if it is missing.
  absl::StatusOr<const GgufTensor*> Tensor(std::string_view name) const;

  // Typed access. A missing key or a value of another kind is InvalidArgument FORMAT_INVALID
  // and names the key. Integers are accepted in every width, because writers differ; a negative one
  // is refused by GetUint.
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;

  // The same with a value for a missing key; a value of another kind is still an error.
  absl::StatusOr<uint64_t> GetUintOr(std::string_view key, uint64_t fallback) const;
  absl::StatusOr<double> GetFloatOr(std::string_view key, double fallback) const;
  absl::StatusOr<bool> GetBoolOr(std::string_view key, bool fallback) const;
  absl::StatusOr<std::string> GetStringOr(std::string_view key, std::string_view fallback) const;

 private:
  friend class GgufParser;
  GgufFile() = default;

  absl::StatusOr<const GgufMetadata*> Require(std::string_view key) const;
  absl::Status WrongKind(const GgufMetadata& entry, std::string_view wanted) const;

  std::string path_;
  std::shared_ptr<const MappedFile> mapping_;  // null for Parse
  uint32_t version_ = 0;
  uint32_t alignment_ = 32;
  std::vector<GgufMetadata> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> metadata_index_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace crossover::llm
