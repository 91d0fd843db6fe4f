// What the tests decide, over many simulated experiments. Seeded, so that a pass is a pass.
#include <gtest/gtest.h>

#include <random>

#include "services/shadow_router/domain/policy.h"
#include "services/shadow_router/domain/verdict.h"

namespace crossover::router {
namespace {

struct World {
  double primary_right = 0.8;
  double candidate_right = 0.8;
  double correlation = 0.5;  // Share of requests on which both depend on the same luck.
  double candidate_errors = 0;
  double reference_errors = 0;
  int weight = 500;
};

enum class End { kPromoted, kRolledBack, kUndecided };

// Looks after every 10 pairs, as a runner that never tires.
End Run(const World& world, const Experiment& experiment, int pairs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  Evidence evidence(experiment);
  ArmCounts arms;
  for (int i = 1; i <= pairs; ++i) {
    const double luck = uniform(random);
    const double other = uniform(random) < world.correlation ? luck : uniform(random);
    GradeFacts grade{.sequence = i, .cluster = std::to_string(i)};
    grade.primary_loss = luck < world.primary_right ? 0 : 1;
    grade.candidate_loss = other < world.candidate_right ? 0 : 1;
    evidence.Add(grade);
    const bool canary = uniform(random) < world.weight / 10'000.0;
    if (uniform(random) < (canary ? world.candidate_errors : world.reference_errors)) {
      ++(canary ? arms.candidate_events : arms.reference_events)["error_rate"];
    }
    if (i % 10 != 0) continue;
    evidence.SetArms({{world.weight, arms}});
    const Verdict verdict = evidence.Judge();
    if (verdict.roll_back) return End::kRolledBack;
    if (verdict.quality_ok && verdict.deciding >= 200) return End::kPromoted;
  }
  return End::kUndecided;
}

int Count(End end, const World& world, int runs, int pairs, const Experiment& experiment = {}) {
  int count = 0;
  for (int run = 0; run < runs; ++run)
    count += Run(world, experiment, pairs, 1'000 + static_cast<uint64_t>(run)) == end;
  return count;
}

TEST(SimulationTest, ABetterCandidateIsPromoted) {
  EXPECT_EQ(Count(End::kPromoted, {.primary_right = 0.83, .candidate_right = 0.91}, 60, 4'000), 60);
}

TEST(SimulationTest, AWorseCandidateIsRolledBack) {
  EXPECT_EQ(Count(End::kRolledBack, {.primary_right = 0.85, .candidate_right = 0.7}, 60, 4'000),
            60);
}

TEST(SimulationTest, EqualCandidatesAreRolledBackAtMostInAlphaHalfOfTheRuns) {
  // 2.5 % of 400 are 10; a binomial with that mean passes 20 once in 1,000.
  EXPECT_LE(Count(End::kRolledBack, {.correlation = 0}, 400, 1'500), 20);
}

TEST(SimulationTest, ACandidateAtTheMarginIsPromotedAtMostInAlphaHalfOfTheRuns) {
  EXPECT_LE(Count(End::kPromoted, {.primary_right = 0.85, .candidate_right = 0.83}, 400, 1'500),
            20);
}

TEST(SimulationTest, TheSameErrorRateOnBothArmsRollsBackAlmostNever) {
  EXPECT_LE(Count(End::kRolledBack,
                  {.correlation = 1, .candidate_errors = 0.1, .reference_errors = 0.1}, 200, 1'500),
            6);
}

TEST(SimulationTest, ACanaryWithFiveTimesTheErrorsIsRolledBackAlthoughItsAnswersAreGood) {
  EXPECT_GE(
      Count(End::kRolledBack,
            {.correlation = 1, .candidate_errors = 0.25, .reference_errors = 0.05, .weight = 2'500},
            60, 1'500),
      57);
}

TEST(SimulationTest,
     ErrorsOfACandidateThatIsAskedEverythingCountAgainstTheReferencesOfTheSameRequests) {
  for (const int of_reference : {0, 20}) {
    Evidence evidence{Experiment{}};
    ArmCounts counts;
    counts.candidate_events["error_rate"] = 20;
    counts.reference_events["error_rate"] = of_reference;
    evidence.SetArms({{kSameRequest, counts}});
    EXPECT_EQ(evidence.Judge().roll_back, of_reference == 0);
  }
}

TEST(SimulationTest, APrimaryAgainstItselfFiresAtMostInAlphaOfTheRuns) {
  int fired = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    std::mt19937_64 random(static_cast<uint64_t>(run));
    std::bernoulli_distribution wrong(0.3);
    Evidence evidence{Experiment{}};
    bool now = false;
    for (int i = 0; i < 1'000 && !now; ++i) {
      evidence.Add(GradeFacts{.cluster = std::to_string(i),
                              .self_compare = true,
                              .primary_loss = wrong(random) ? 1.0 : 0.0,
                              .candidate_loss = wrong(random) ? 1.0 : 0.0});
      if (i % 20 == 0) now = evidence.Judge().calibration_fired;
    }
    fired += now;
  }
  // 5 % of 400 are 20; 34 would be three standard deviations more.
  EXPECT_LE(fired, 34);
}

TEST(SimulationTest, InEquivalenceModeThePrimarysOwnNoiseIsTakenOff) {
  Experiment experiment;
  experiment.quality_mode = QualityMode::kEquivalence;
  experiment.margin = 0.05;
  const auto theta = [&](double candidate_noise) {
    std::mt19937_64 random(7);
    std::bernoulli_distribution own(0.3), other(candidate_noise);
    Evidence evidence(experiment);
    for (int i = 0; i < 4'000; ++i) {
      PairFacts pair{.cluster = std::to_string(i)};
      pair.candidate_differs_from_reference = other(random);
      pair.other_differs_from_reference = own(random);
      evidence.Add(pair);
    }
    return evidence.Judge();
  };
  EXPECT_TRUE(theta(0.3).quality_ok);
  EXPECT_TRUE(theta(0.6).roll_back);
}

TEST(SimulationTest, TurnsOfOneConversationCountOnce) {
  Evidence evidence{Experiment{}};
  for (int i = 0; i < 1'000; ++i)
    evidence.Add(GradeFacts{.cluster = "one chat", .primary_loss = 0, .candidate_loss = 1});
  EXPECT_EQ(evidence.Judge().deciding, 1);
  EXPECT_FALSE(evidence.Judge().roll_back);
}

TEST(SimulationTest, AChattyClientMovesNeitherTheLatencyNorTheNoise) {
  Evidence evidence{Experiment{}};
  for (int i = 0; i < 1'000; ++i) {
    evidence.Add(PairFacts{.cluster = "one chat",
                           .secondary_differs = true,
                           .primary_latency = absl::Milliseconds(100),
                           .candidate_latency = absl::Milliseconds(900)});
  }
  const Verdict verdict = evidence.Judge();
  EXPECT_FALSE(verdict.roll_back);
  EXPECT_EQ(verdict.noise.n, 1);
}

TEST(SimulationTest, InvalidPairsNeverEnter) {
  Evidence evidence{Experiment{}};
  evidence.Add(GradeFacts{
      .cluster = "a", .validity = Validity::kTruncated, .primary_loss = 0, .candidate_loss = 1});
  evidence.Add(PairFacts{.cluster = "b", .validity = Validity::kFallback});
  EXPECT_EQ(evidence.Judge().deciding, 0);
  EXPECT_EQ(evidence.Judge().pairs, 0);
}

TEST(SimulationTest, ASlowerCandidateFailsTheLatencyGateAndAFasterOneDoesNot) {
  for (const double factor : {0.5, 1.1, 2.0}) {
    Evidence evidence{Experiment{}};
    for (int i = 0; i < 300; ++i) {
      evidence.Add(PairFacts{.cluster = std::to_string(i),
                             .primary_latency = absl::Milliseconds(100 + i),
                             .candidate_latency = absl::Milliseconds(100 + i) * factor});
    }
    EXPECT_EQ(evidence.Judge().roll_back, factor == 2.0) << factor;
  }
}

}  // namespace
}  // namespace crossover::router
