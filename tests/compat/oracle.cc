#include "tests/compat/oracle.h"

#include <stdlib.h>

#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace crossover::compat {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

fs::path ScriptFolder() {
  const std::string source = Variable("CROSSOVER_SOURCE_DIR");
  return fs::path(source.empty() ? CROSSOVER_COMPAT_SOURCE_DIR : source) / "tests" / "compat";
}

fs::path CacheFolder() {
  if (const std::string cache = Variable("CROSSOVER_CACHE"); !cache.empty()) return cache;
  const std::string shared = Variable("XDG_CACHE_HOME");
  return (shared.empty() ? fs::path(Variable("HOME")) / ".cache" : fs::path(shared)) / "crossover";
}

// What the variable names, else a folder of those that setup_compat.sh unpacks.
std::optional<fs::path> FolderOr(const char* variable, const fs::path& unpacked) {
  if (const std::string chosen = Variable(variable); !chosen.empty()) return fs::path(chosen);
  if (!fs::exists(CacheFolder() / "llama.cpp-models" / ".stamp")) return std::nullopt;
  return CacheFolder() / "llama.cpp-models" / unpacked;
}

}  // namespace

std::optional<fs::path> FindPython() {
  const std::string chosen = Variable("CROSSOVER_COMPAT_PYTHON");
  if (!chosen.empty()) return fs::path(chosen);
  const fs::path cache = CacheFolder();
  // The stamp is written last, so a half-installed environment does not count.
  if (!fs::exists(cache / "compat-venv" / ".stamp")) return std::nullopt;
  return cache / "compat-venv" / "bin" / "python";
}

std::optional<fs::path> FindTemplates() {
  return FolderOr("CROSSOVER_COMPAT_TEMPLATES", "templates");
}

std::vector<fs::path> FindVocabularies() {
  std::vector<fs::path> found;
  const std::optional<fs::path> folder = FolderOr("CROSSOVER_COMPAT_VOCABULARIES", "");
  if (!folder) return found;
  for (const char* name : {"gpt-2", "llama-bpe", "llama-spm", "qwen2"}) {
    const fs::path path = *folder / ("ggml-vocab-" + std::string(name) + ".gguf");
    if (fs::exists(path)) found.push_back(path);
  }
  return found;
}

absl::StatusOr<nlohmann::json> Ask(const std::string& script,
                                   const std::vector<std::string>& arguments) {
  const std::optional<fs::path> python = FindPython();
  if (!python) return absl::FailedPreconditionError(kHowToInstall);
  const TemporaryFolder folder;
  std::string command = Quoted(*python) + " " + Quoted(ScriptFolder() / script);
  for (const std::string& argument : arguments) command += " " + Quoted(argument);
  const fs::path errors = folder.path() / "stderr";
  command += " 2>" + Quoted(errors);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("popen failed");
  std::string output;
  char buffer[65536];
  while (const size_t read = std::fread(buffer, 1, sizeof(buffer), pipe))
    output.append(buffer, read);
  const int code = pclose(pipe);
  nlohmann::json answer = nlohmann::json::parse(output, nullptr, false);
  if (code != 0 || answer.is_discarded()) {
    std::system(("tail -n 20 " + Quoted(errors) + " >&2").c_str());
    return absl::InternalError(
        absl::StrCat(script, " ended with ", code, " and wrote: ", output.substr(0, 2000)));
  }
  return answer;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "crossover-compat-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace crossover::compat
