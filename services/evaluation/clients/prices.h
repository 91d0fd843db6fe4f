#pragma once

#include <string>

#include "crossover/type/v1/statistics.pb.h"
#include "services/evaluation/domain/system.h"

namespace crossover::evaluation {

inline constexpr char kProjectPrices[] = "the project's price list";

inline double ToUsd(const google::type::Money& money) {
  return static_cast<double>(money.units()) + money.nanos() * 1e-9;
}

// Unknown where no price is set at all; cached prompt tokens cost as the others unless said.
// `origin`: whose price list it is, in words.
inline Prices ToPrices(const type::v1::TokenPrices& prices, const std::string& origin) {
  Prices out{.known = prices.has_input() || prices.has_output(),
             .input = ToUsd(prices.input()),
             .output = ToUsd(prices.output()),
             .origin = origin};
  out.cached_input = prices.has_cached_input() ? ToUsd(prices.cached_input()) : out.input;
  return out;
}

}  // namespace crossover::evaluation
