// Reader and writer of safetensors files (huggingface/safetensors, safetensors/src/tensor.rs;
// layout in safetensors.cc).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/mapped_file.h"

namespace crossover::llm {

// In the reference's order, which is also the order files are sorted by.
enum class Dtype {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

std::string_view NameOf(Dtype dtype);
std::optional<Dtype> DtypeOf(std::string_view name);
int64_t BitsOf(Dtype dtype);
// Of a tensor of this shape; nullopt on overflow or if it is no whole number of bytes.
std::optional<uint64_t> BytesFor(Dtype dtype, std::span<const int64_t> shape);

// One tensor; `data` is row-major and borrowed (from the file when read, from the caller when
// written).
struct SafetensorsTensor {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;  // Empty: a scalar.
  std::span<const std::byte> data;

  int64_t values() const;
};

// Immutable and thread-safe. Open() checks what the reference implementation checks: offsets
// without gap or overlap, sizes equal to shape times width, no byte left over, no duplicate name.
// Errors: NotFound FILE_MISSING, InvalidArgument FORMAT_INVALID, naming file and tensor.
class SafetensorsFile {
 public:
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(
      const std::filesystem::path& path);

  // Parses bytes the caller keeps alive.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Parse(
      std::span<const std::byte> bytes, std::string name);

  const std::string& path() const { return path_; }
  // In file order.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const SafetensorsTensor* FindTensor(std::string_view name) const;
  // "__metadata__".
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  friend class SafetensorsParser;
  SafetensorsFile() = default;

  std::string path_;
  std::shared_ptr<const MappedFile> mapping_;
  std::vector<SafetensorsTensor> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

// Writes what the reference writer would write for the same tensors, byte for byte, atomically. The
// order of `tensors` does not matter. InvalidArgument FORMAT_INVALID for duplicate names or data of
// the wrong size; errors of AtomicFile.
absl::Status WriteSafetensors(const std::filesystem::path& path,
                              std::vector<SafetensorsTensor> tensors,
                              const std::map<std::string, std::string>& metadata);

// Converts F32, F16, BF16 and F64 data to floats. InvalidArgument FORMAT_INVALID for other types or
// sizes.
absl::Status ToFloats(const SafetensorsTensor& tensor, std::span<float> out);

}  // namespace crossover::llm
