// Runs a Python script of tests/compat in the oracles' environment and reads its JSON answer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"

namespace crossover::compat {

// CROSSOVER_COMPAT_PYTHON, else the venv that scripts/setup_compat.sh makes; nullopt if neither is
// there.
std::optional<std::filesystem::path> FindPython();

// What to tell a person when FindPython() finds none.
inline constexpr char kHowToInstall[] =
    "no Python with the oracles: run scripts/setup_compat.sh, or set CROSSOVER_COMPAT_PYTHON";

// A folder of chat templates, *.jinja: CROSSOVER_COMPAT_TEMPLATES, else those of llama.cpp's
// sources that scripts/setup_compat.sh unpacks; nullopt if neither is there.
std::optional<std::filesystem::path> FindTemplates();

// Models' own vocabularies, of the kinds that are supported: ggml-vocab-*.gguf of the folder that
// CROSSOVER_COMPAT_VOCABULARIES names, else of llama.cpp's sources as above. Empty: none.
std::vector<std::filesystem::path> FindVocabularies();

// Runs `script` (a file of this folder) with these arguments; its standard output must be one JSON
// value.
absl::StatusOr<nlohmann::json> Ask(const std::string& script,
                                   const std::vector<std::string>& arguments);

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace crossover::compat
