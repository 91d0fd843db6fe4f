#include "tests/compat/tokenizer_comparison.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "common/status/status_macros.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {

absl::StatusOr<TokenizerComparison> CompareTokenizer(const llm::Tokenizer& tokenizer,
                                                     const std::filesystem::path& gguf,
                                                     const std::vector<std::string>& lines) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "lines.jsonl";
  TokenizerComparison result;
  {
    std::ofstream out(path);
    for (const std::string& line : lines) {
      const std::vector<int32_t> ids = tokenizer.Encode(line);
      result.tokens += static_cast<int64_t>(ids.size());
      out << nlohmann::json{{"text", line}, {"ids", ids}, {"decoded", tokenizer.Decode(ids)}}.dump()
          << "\n";
    }
    if (!out.flush()) return absl::InternalError("cannot write " + path.string());
  }
  ASSIGN_OR_RETURN(const nlohmann::json answer,
                   Ask("tokenizer_oracle.py", {"compare", gguf.string(), path.string()}));
  result.lines = answer.at("lines").get<int64_t>();
  result.hf_differences = answer.at("hf_differences").get<int64_t>();
  result.hf_seconds = answer.at("hf_seconds").get<double>();
  if (!answer.at("llama_cpp_differences").is_null()) {
    result.llama_cpp_lines = answer.at("llama_cpp_lines").get<int64_t>();
    result.llama_cpp_differences = answer["llama_cpp_differences"].get<int64_t>();
  }
  result.examples = answer.at("examples").dump(1);
  return result;
}

}  // namespace crossover::compat
