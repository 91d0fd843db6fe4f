// Several questions asked of the same data.
#pragma once

#include <vector>

namespace crossover::stats {

// Holm's step-down adjusted p-values, in the order given. Controls the chance of any false
// rejection.
std::vector<double> HolmAdjusted(const std::vector<double>& p_values);

// e-BH (Wang and Ramdas 2022): which hypotheses to reject so that the false discovery rate is at
// most alpha, whatever the dependence. Takes e-values (not their logarithms), in the order given.
std::vector<bool> EBenjaminiHochberg(const std::vector<double>& e_values, double alpha);

}  // namespace crossover::stats
