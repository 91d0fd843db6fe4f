// What quantised weights cost in exactness.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "llm/generate/engine.h"
#include "llm/model/base_model.h"

namespace crossover::bench {

struct Accuracy {
  double loss = 0;       // Mean negative log-probability of the text's tokens, in nats.
  double agreement = 0;  // Share of the places where the most likely token is the dense model's.
};

// Of dense, int8 and int4 weights, in this order, on one text.
absl::StatusOr<std::vector<Accuracy>> MeasureAccuracy(std::shared_ptr<const llm::BaseModel> base,
                                                      const std::vector<int32_t>& text);

}  // namespace crossover::bench
