// Special functions (Boost.Math), with out-of-domain arguments answered by NaN instead of an
// exception.
#pragma once

#include <cstdint>

namespace crossover::stats {

double NormalCdf(double x);
// p in (0,1); infinite at 0 and 1.
double NormalQuantile(double p);
// Two-sided critical value: NormalQuantile(1 - (1 - level) / 2).
double CriticalZ(double level);
double CriticalT(double level, double degrees_of_freedom);
// P(|T| >= |t|) for Student's t.
double StudentTwoSidedP(double t, double degrees_of_freedom);

double LogBeta(double a, double b);
// log of the upper regularised incomplete beta 1 - I_x(a, b), without the cancellation of that
// form.
double LogBetaComplement(double a, double b, double x);

// P(X <= k), P(X = k) for X ~ Binomial(n, p).
double BinomialCdf(int64_t k, int64_t n, double p);
double BinomialPmf(int64_t k, int64_t n, double p);
// The smallest k with P(X <= k) >= q.
int64_t BinomialQuantile(double q, int64_t n, double p);

double ChiSquaredUpperTail(double x, double degrees_of_freedom);

}  // namespace crossover::stats
