// Where training of an adapter begins. No torch.
#pragma once

#include <cstdint>
#include <vector>

#include "llm/lora/layout.h"
#include "llm/model/base_model.h"

namespace crossover::llm {

// InitialValues (adapter.h) and DoRA's magnitudes: the row norms of the base, so that the adapter
// changes nothing yet.
std::vector<float> InitialValues(const BaseModel& base, const LoraLayout& layout, uint64_t seed);

// PiSSA (Meng et al., arXiv:2404.02948): A and B begin as the principal singular vectors of their
// layer, scale B0 A0 = U_r S_r V_r^T with the square root of S_r on either side.
//
// The frozen half of each matrix (LoraMatrix::frozen, half of its rank) holds A0 and -B0. So the
// base stays as it is, W + scale (B A - B0 A0) computes what training A and B over the residual
// W - scale B0 A0 would, and the adapter is a plain LoRA of the original base at every step (PEFT
// makes the same of a PiSSA adapter when it is saved with
// path_initial_model_for_weight_conversion).
//
// By randomised subspace iteration (Halko, Martinsson & Tropp, arXiv:0909.4061) with 16 rounds, as
// PEFT's "pissa_niter_16".
std::vector<float> PissaValues(const BaseModel& base, const LoraLayout& layout, uint64_t seed);

}  // namespace crossover::llm
