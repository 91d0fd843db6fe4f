#pragma once

#include "crossover/type/v1/statistics.pb.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

inline double ToUsd(const google::type::Money& money) {
  return static_cast<double>(money.units()) + money.nanos() * 1e-9;
}

// Unknown where no price is set at all; cached prompt tokens cost as the others unless said.
inline Prices ToPrices(const type::v1::TokenPrices& prices) {
  Prices out{.known = prices.has_input() || prices.has_output(),
             .input = ToUsd(prices.input()),
             .output = ToUsd(prices.output())};
  out.cached_input = prices.has_cached_input() ? ToUsd(prices.cached_input()) : out.input;
  return out;
}

}  // namespace crossover::evaluation
