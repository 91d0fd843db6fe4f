// Writes a safetensors file tensor by tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "llm/formats/atomic_file.h"
#include "llm/formats/safetensors.h"

namespace crossover::llm {

// What is known of a tensor before its data.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;  // Empty: a scalar.
};

// Usage: Create, then Append the data of entries() in that order, then Finish. The file is what the
// reference writer would write, and appears under its name at Finish, durable (see AtomicFile).
// Memory use is the header. Not thread-safe. Errors: InvalidArgument FORMAT_INVALID for duplicate
// names, bad shapes and data of the wrong length; those of AtomicFile.
class SafetensorsWriter {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::filesystem::path& path, std::vector<SafetensorsEntry> entries,
      const std::map<std::string, std::string>& metadata);

  // In file order: widest numbers first, then by name.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  // The next bytes; pieces may end anywhere.
  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Finish();

 private:
  SafetensorsWriter(std::unique_ptr<AtomicFile> file, std::string path,
                    std::vector<SafetensorsEntry> entries, uint64_t size);

  absl::Status WrongLength() const;

  std::unique_ptr<AtomicFile> file_;
  std::string path_;
  std::vector<SafetensorsEntry> entries_;
  uint64_t size_;  // Of the whole file.
};

}  // namespace crossover::llm
