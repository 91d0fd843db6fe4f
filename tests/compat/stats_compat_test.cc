// common/stats against SciPy.
#include <cmath>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/stats/bootstrap.h"
#include "common/stats/mcnemar.h"
#include "common/stats/paired.h"
#include "common/stats/power.h"
#include "common/stats/proportion.h"
#include "common/stats/random.h"
#include "common/stats/sequential_mcnemar.h"
#include "common/stats/special.h"
#include "tests/compat/oracle.h"

namespace crossover::compat {
namespace {

using nlohmann::json;
using stats::Interval;

class StatsCompatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!FindPython()) GTEST_SKIP() << kHowToInstall;
  }

  // Keeps a question and our answer; Compare() asks SciPy for all at once.
  void Add(const std::string& ask, json with, std::vector<double> ours, double tolerance = 1e-9) {
    questions_.push_back({{"ask", ask}, {"with", std::move(with)}});
    ours_.push_back(std::move(ours));
    tolerances_.push_back(tolerance);
  }

  void Compare() {
    auto answers = Ask("stats_oracle.py", {questions_.dump()});
    ASSERT_TRUE(answers.ok()) << answers.status();
    ASSERT_EQ(answers->size(), ours_.size());
    for (size_t i = 0; i < ours_.size(); ++i) {
      std::vector<double> theirs = (*answers)[i].get<std::vector<double>>();
      ASSERT_EQ(theirs.size(), ours_[i].size()) << questions_[i];
      for (size_t j = 0; j < theirs.size(); ++j) {
        EXPECT_NEAR(ours_[i][j], theirs[j], tolerances_[i] * std::max(1.0, std::abs(theirs[j])))
            << questions_[i];
      }
    }
  }

  json questions_ = json::array();
  std::vector<std::vector<double>> ours_;
  std::vector<double> tolerances_;
};

TEST_F(StatsCompatTest, ProportionsTestsAndTailsAreEqual) {
  for (auto [k, n] : {std::pair<int, int>{81, 263}, {0, 12}, {12, 12}, {1, 1000}, {499, 1000}}) {
    Interval ours = stats::Wilson(k, n, 0.9);
    Add("wilson", {k, n, 0.9}, {ours.lower, ours.upper});
  }
  for (auto [b, c] : {std::pair<int, int>{5, 15}, {0, 7}, {30, 31}, {200, 120}}) {
    Add("mcnemar", {b, c}, {stats::McNemarTest(b, c).exact_p});
  }
  for (auto [k, n] : {std::pair<int, int>{3, 10}, {0, 50}, {490, 1000}}) {
    Add("binomial", {k, n, 0.3, 0.975},
        {stats::BinomialCdf(k, n, 0.3), stats::BinomialPmf(k, n, 0.3),
         static_cast<double>(stats::BinomialQuantile(0.975, n, 0.3))});
  }
  Add("chi_squared", {4.05, 1}, {stats::ChiSquaredUpperTail(4.05, 1)});
  for (auto [t, df] : {std::pair<double, double>{2.5, 9}, {-0.3, 1}, {12, 3}, {4, 500}}) {
    Add("student_t", {t, df}, {stats::StudentTwoSidedP(t, df)});
  }
  Compare();
}

TEST_F(StatsCompatTest, ClusteredAndBootstrappedMeansAreEqual) {
  stats::Random random(3);
  std::vector<double> values;
  std::vector<std::string> clusters;
  for (int i = 0; i < 120; ++i) {
    values.push_back(std::pow(random.Uniform(), 3));
    clusters.push_back("c" + std::to_string(random.Below(25)));
  }
  Interval clustered = stats::MeanInterval(values, clusters);
  Add("clustered_t", {values, clusters, 0.95}, {clustered.lower, clustered.upper});
  // Two seeds, 10,000 and 20,000 draws: equal within their Monte Carlo error.
  Interval bca = stats::BootstrapMean(values, {}, {.bca = true});
  Add("bca", {values, 0.95}, {bca.lower, bca.upper}, 2e-3);
  Compare();
}

TEST_F(StatsCompatTest, SequentialMcNemarEqualsTheIntegralItStandsFor) {
  for (auto [b, c] :
       {std::pair<int, int>{0, 0}, {1, 0}, {10, 3}, {3, 10}, {60, 40}, {40, 60}, {300, 200}}) {
    Add("sequential_mcnemar", {b, c}, {stats::McNemarLogE(b, c)}, 1e-6);
  }
  Compare();
}

}  // namespace
}  // namespace crossover::compat
