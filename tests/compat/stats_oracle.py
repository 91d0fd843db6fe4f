"""SciPy's answers to the questions of stats_compat_test.cc: reads a JSON list of cases from argv[1], prints a list of answers."""
import json
import sys

import numpy
from scipy import integrate, special, stats


def wilson(k, n, level):
    interval = stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
    return [interval.low, interval.high]


def mcnemar(b, c):
    return [stats.binomtest(b, b + c, 0.5).pvalue]


def clustered_t(values, clusters, level):
    values, clusters = numpy.array(values), numpy.array(clusters)
    residuals = values - values.mean()
    sums = numpy.array([residuals[clusters == c].sum() for c in numpy.unique(clusters)])
    error = numpy.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(values)
    return list(stats.t.interval(level, len(sums) - 1, loc=values.mean(), scale=error))


def bca(values, level):
    result = stats.bootstrap((numpy.array(values),), numpy.mean, confidence_level=level, n_resamples=20000, method="BCa",
                             rng=numpy.random.default_rng(5))
    return [result.confidence_interval.low, result.confidence_interval.high]


def student_t(t, df):
    return [2 * stats.t.sf(abs(t), df)]


def sequential_mcnemar(b, c):
    """log of the mixture's integral, by quadrature instead of beta functions."""
    def log_density(p):
        return (b - 0.5) * numpy.log(2 * p) + (c - 0.5) * numpy.log(2 * (1 - p)) + numpy.log(2) - special.betaln(0.5, 0.5) + numpy.log(2)

    peak = min(max((b + 0.5) / (b + c + 1), 0.5), 1 - 1e-9)
    top = log_density(peak)
    integral, _ = integrate.quad(lambda p: numpy.exp(log_density(p) - top), 0.5, 1, points=[peak], limit=500)
    return [top + numpy.log(integral)]


def power_t(delta, variance):
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    return [z * z * variance / delta**2]


def binomial(k, n, p, q):
    return [stats.binom.cdf(k, n, p), stats.binom.pmf(k, n, p), float(stats.binom.ppf(q, n, p))]


def chi_squared(x, df):
    return [stats.chi2.sf(x, df)]


print(json.dumps([globals()[case["ask"]](*case["with"]) for case in json.loads(sys.argv[1])]))
