#include "common/stats/special.h"

#include <cmath>
#include <limits>

#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <boost/math/special_functions/gamma.hpp>

namespace crossover::stats {
namespace {

using boost::math::policies::errno_on_error;
using boost::math::policies::ignore_error;
// Domain errors give NaN, overflow infinity, underflow 0: callers test for them, nothing throws.
using Quiet = boost::math::policies::policy<boost::math::policies::domain_error<ignore_error>,
                                            boost::math::policies::pole_error<ignore_error>,
                                            boost::math::policies::overflow_error<ignore_error>,
                                            boost::math::policies::evaluation_error<ignore_error>,
                                            boost::math::policies::underflow_error<ignore_error>,
                                            boost::math::policies::promote_double<false>>;

}  // namespace

double NormalCdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double NormalQuantile(double p) {
  if (p <= 0) return -std::numeric_limits<double>::infinity();
  if (p >= 1) return std::numeric_limits<double>::infinity();
  return -std::sqrt(2.0) * boost::math::erfc_inv(2 * p, Quiet());
}

double CriticalZ(double level) { return NormalQuantile(1 - (1 - level) / 2); }

double CriticalT(double level, double degrees_of_freedom) {
  if (!(degrees_of_freedom > 0)) return std::numeric_limits<double>::infinity();
  boost::math::students_t_distribution<double, Quiet> t(degrees_of_freedom);
  return boost::math::quantile(boost::math::complement(t, (1 - level) / 2));
}

double StudentTwoSidedP(double t, double degrees_of_freedom) {
  if (!(degrees_of_freedom > 0)) return 1;
  boost::math::students_t_distribution<double, Quiet> distribution(degrees_of_freedom);
  return 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(t)));
}

double LogBeta(double a, double b) { return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b); }

double LogBetaComplement(double a, double b, double x) {
  return std::log(boost::math::ibetac(a, b, x, Quiet()));
}

double BinomialPmf(int64_t k, int64_t n, double p) {
  if (k < 0 || k > n) return 0;
  if (p <= 0) return k == 0;
  if (p >= 1) return k == n;
  double log_choose = std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0);
  return std::exp(log_choose + k * std::log(p) + (n - k) * std::log1p(-p));
}

double BinomialCdf(int64_t k, int64_t n, double p) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  if (p <= 0) return 1;
  if (p >= 1) return 0;
  return boost::math::ibetac(static_cast<double>(k + 1), static_cast<double>(n - k), p, Quiet());
}

int64_t BinomialQuantile(double q, int64_t n, double p) {
  int64_t low = 0;
  int64_t high = n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (BinomialCdf(middle, n, p) >= q) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

double ChiSquaredUpperTail(double x, double degrees_of_freedom) {
  return x <= 0 ? 1 : boost::math::gamma_q(degrees_of_freedom / 2, x / 2, Quiet());
}

}  // namespace crossover::stats
