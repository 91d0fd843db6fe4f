// How many prepared matrix products LibTorch remembers. No torch.
#pragma once

namespace crossover::llm {

// What one step of training, or some batch sizes of generation, come to.
inline constexpr int kTrainingPrimitives = 128;
inline constexpr int kServingPrimitives = 256;

// LibTorch (ideep's cache, one a thread) and oneDNN (one a process) each keep the last 1,024
// products that were prepared, by shape. One takes some 0.4 MB, and every number of tokens is a
// shape of its own, so a process would grow by a gigabyte until they are full. Bounds both caches;
// what the environment already says (LRU_CACHE_CAPACITY, ONEDNN_PRIMITIVE_CACHE_CAPACITY) stays.
//
// Sets environment variables: for main, before the first thread and the first product.
void BoundPrimitiveCaches(int entries);

}  // namespace crossover::llm
