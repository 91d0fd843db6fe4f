// A folder that lives as long as the object.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace crossover::testing {

class TempDir {
 public:
  // Aborts the test process if no folder can be made. Mode 0755, so that user postgres may enter.
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Writes a file, making its folders; for test input.
void WriteFile(const std::filesystem::path& path, std::string_view bytes);
std::string ReadFile(const std::filesystem::path& path);

}  // namespace crossover::testing
