// Writes GGUF version 3 as a stream: metadata and tensor list first, then each tensor's data in
// that order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/gguf_file.h"

namespace crossover::llm {

// Usage: Add… metadata, AddTensor for every tensor, then AppendData until all tensors are complete,
// then Finish. Memory use is the header only. Not thread-safe. The file appears under its name at
// Finish, durable (see AtomicFile).
//
// Calls in the wrong order, names that GGUF refuses and data of the wrong length are
// InvalidArgument FORMAT_INVALID; the errors of AtomicFile come from AppendData and Finish.
class GgufWriter {
 public:
  static absl::StatusOr<std::unique_ptr<GgufWriter>> Create(const std::filesystem::path& path,
                                                            uint32_t alignment = 32);
  // Into `bytes`, which outlives the writer; `name` stands for the path in messages.
  static std::unique_ptr<GgufWriter> ToMemory(std::string name, std::string& bytes);

  absl::Status AddString(std::string_view key, std::string_view value);
  absl::Status AddUint32(std::string_view key, uint32_t value);
  absl::Status AddFloat32(std::string_view key, float value);
  absl::Status AddBool(std::string_view key, bool value);
  absl::Status AddStrings(std::string_view key, const std::vector<std::string>& values);
  absl::Status AddInts(std::string_view key, const std::vector<int32_t>& values);
  absl::Status AddFloats(std::string_view key, const std::vector<float>& values);
  // Copies an entry of another file, whatever its type.
  absl::Status AddEncoded(const GgufMetadata& entry);

  // `shape` outermost first.
  absl::Status AddTensor(std::string_view name, TensorType type, std::vector<int64_t> shape);

  // The next bytes of tensor data; a piece may not cross the end of a tensor.
  absl::Status AppendData(std::span<const std::byte> bytes);

  absl::Status Finish();

 private:
  struct Pending {
    std::string name;
    TensorType type;
    std::vector<int64_t> shape;
    uint64_t bytes;
    uint64_t offset;
  };

  GgufWriter(std::unique_ptr<AtomicFile> file, std::string path, uint32_t alignment);

  absl::Status Invalid(std::string_view message) const;
  absl::Status BeginEntry(std::string_view key, GgufType type);
  void PutString(std::string_view text);
  template <typename T>
  void Put(T value);
  template <typename T>
  absl::Status AddNumbers(std::string_view key, GgufType element, const std::vector<T>& values);
  absl::Status Write(std::string_view bytes);
  uint64_t size() const { return file_ == nullptr ? memory_->size() : file_->size(); }
  absl::Status WriteHeader();
  absl::Status Pad();

  std::unique_ptr<AtomicFile> file_;  // Or else …
  std::string* memory_ = nullptr;
  std::string path_;
  uint32_t alignment_;
  std::string metadata_;
  uint64_t metadata_count_ = 0;
  std::unordered_set<std::string> keys_;
  std::unordered_set<std::string> names_;
  std::vector<Pending> tensors_;
  uint64_t data_size_ = 0;  // Of the tensors declared, padded.
  bool header_written_ = false;
  size_t next_tensor_ = 0;
  uint64_t written_of_tensor_ = 0;
};

}  // namespace crossover::llm
