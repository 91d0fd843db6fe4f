#include "llm/model/primitive_cache.h"

#include <stdlib.h>

#include <string>

namespace crossover::llm {

void BoundPrimitiveCaches(int entries) {
  const std::string text = std::to_string(entries);
  setenv("LRU_CACHE_CAPACITY", text.c_str(), /*overwrite=*/0);
  setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", text.c_str(), /*overwrite=*/0);
}

}  // namespace crossover::llm
