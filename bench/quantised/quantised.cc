// ./dev bench quantised: memory and time of a training step on a base model that stays quantised,
// by default of 7 B parameters in Q4_K (a random one, written to --folder and removed again).
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/formats/testing_random_model.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

struct Arguments {
  std::string folder = std::filesystem::temp_directory_path().string();
  std::string model;
  std::string weights = "stored";
  std::string compute = "auto";
  int64_t layers = 32;
  int64_t steps = 2;
  int batch = 2;
  int64_t length = 128;
  int threads = 0;
};

// Mistral-7B's shape (config.json of mistralai/Mistral-7B-v0.3).
ModelConfig SevenBillion(int64_t layers) {
  ModelConfig config;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.layers = layers;
  config.heads = 32;
  config.kv_heads = 8;
  config.head_dim = 128;
  config.vocab_size = 32768;
  config.context_length = 4096;
  config.tied_embeddings = false;
  return config;
}

// Removed at the end.
class RandomModelFile {
 public:
  explicit RandomModelFile(const std::string& folder)
      : path_(std::filesystem::path(folder) /
              absl::StrCat("crossover-bench-quantised-", getpid(), ".gguf")) {}
  ~RandomModelFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

  absl::Status Write(const ModelConfig& config) {
    return WriteRandomModel(
        path_, config, [](const WeightSpec&) { return TensorType::kQ4_K; }, /*seed=*/1);
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::vector<TrainRow> Rows(const Arguments& arguments) {
  std::vector<TrainRow> rows;
  for (int64_t r = 0; r < arguments.steps * arguments.batch; ++r) {
    TrainRow row{.id = absl::StrCat("row-", r)};
    for (int64_t t = 0; t < arguments.length; ++t)
      row.ids.push_back(static_cast<int32_t>((t * (r + 7) + 3 * r) % 32000));
    row.token_weights.assign(row.ids.size(), 1.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

// What is in memory now: of the file's mapped pages, and of the process itself.
double StatusMb(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key)) return std::stod(line.substr(key.size() + 1)) / 1024;
  }
  return 0;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

absl::Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const ComputeType type, ParseComputeType("--compute", arguments.compute));
  ASSIGN_OR_RETURN(const WeightStorage weights, ParseWeightStorage("--weights", arguments.weights));
  RandomModelFile file(arguments.folder);
  std::string model = arguments.model;
  if (model.empty()) {
    RETURN_IF_ERROR(file.Write(SevenBillion(arguments.layers)));
    model = file.path();
  }
  ASSIGN_OR_RETURN(const auto base, BaseModel::Load(model, {.threads = arguments.threads,
                                                            .compute_type = type,
                                                            .weights = weights}));
  std::printf("# %s, %.2f G parameters in %.0f MB\n", ToString(base->execution()).c_str(),
              static_cast<double>(base->parameters()) / 1e9,
              static_cast<double>(base->bytes()) / (1 << 20));
  std::fflush(stdout);
  TrainConfig config{.max_steps = arguments.steps, .batch_rows = arguments.batch};
  ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(base, config, Rows(arguments), {}));
  double seconds = 0;
  const double cpu_before = CpuSeconds();
  RETURN_IF_ERROR(trainer
                      ->Run([&](const StepReport& report) {
                        std::printf("# step %ld loss %.3f norm %.3f %.1f s\n", report.step,
                                    report.loss, report.gradient_norm, report.seconds);
                        std::fflush(stdout);
                        seconds += report.seconds;
                        return StepDecision::kContinue;
                      })
                      .status());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("quantised.model_mb %.0f MB\n", static_cast<double>(base->bytes()) / (1 << 20));
  std::printf("quantised.file_pages_mb %.0f MB\n", StatusMb("RssFile:"));
  std::printf("quantised.own_memory_mb %.0f MB\n", StatusMb("RssAnon:"));
  std::printf("quantised.peak_rss_mb %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  std::printf("quantised.seconds_per_step %.1f s\n",
              seconds / static_cast<double>(arguments.steps));
  // Of all threads: what a step costs on a machine that others use, too.
  std::printf("quantised.cpu_seconds_per_step %.1f s\n",
              (CpuSeconds() - cpu_before) / static_cast<double>(arguments.steps));
  return absl::OkStatus();
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::Arguments arguments;
  CLI::App app("Memory and time of training on a base that stays quantised");
  app.add_option("--folder", arguments.folder, "where the random model is written, 4 GB");
  app.add_option("--model", arguments.model, "GGUF file or Hugging Face folder instead of it");
  app.add_option("--weights", arguments.weights, "auto, dense, stored or nf4");
  app.add_option("--compute", arguments.compute, "auto, bf16 or fp32");
  app.add_option("--layers", arguments.layers, "of the random model");
  app.add_option("--steps", arguments.steps, "optimizer steps");
  app.add_option("--batch", arguments.batch, "rows in a step");
  app.add_option("--length", arguments.length, "tokens in a row");
  app.add_option("--threads", arguments.threads, "0: all cores");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::llm::Run(arguments);
  if (!status.ok()) std::cerr << "bench quantised: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
