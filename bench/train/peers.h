// Other trainers on the same rows: a PEFT loop and TRL, in a Python environment that has them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "llm/train/trainer.h"

namespace crossover::llm {

struct Peer {
  std::string python;  // With torch, transformers, peft, gguf, and for TRL trl and datasets.
  std::string model;   // GGUF file
  int batch = 8;
  int threads = 0;
  std::string dtype = "bfloat16";  // or float32: what ours computes in
};

// Runs a script of bench/train on the rows, with `extra` arguments. The "name value unit" lines it
// printed, empty if it failed; all it says goes to stdout.
std::map<std::string, double> RunPeer(const Peer& peer, const std::string& script,
                                      const std::vector<TrainRow>& rows, const std::string& extra);

}  // namespace crossover::llm
