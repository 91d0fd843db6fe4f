// What the mirror makes of two answers: pairs, grades, events, and which pairs count.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/testing/matchers.h"
#include "services/shadow_router/domain/facts.h"
#include "services/shadow_router/domain/mirror_fixture.h"

namespace crossover::router {
namespace {

using ::testing::ElementsAre;

TEST_F(MirrorTest, MakesAPairWithBothAnswersAndTheLabelsGrade) {
  Start();
  mirror_->Offer(Job("A", R"(,"metadata":{"crossover_label":"b"})"));
  mirror_->WaitUntilIdle();
  const Batch batch = books_.Take();
  ASSERT_EQ(batch.pairs.size(), 1);
  const router::Pair& pair = batch.pairs[0];
  EXPECT_EQ(pair.Find(LegRole::kPrimary)->output, "A");
  EXPECT_EQ(pair.Find(LegRole::kCandidate)->output, "b");
  EXPECT_TRUE(pair.Find(LegRole::kPrimary)->served);
  ASSERT_EQ(pair.grades.size(), 1);
  EXPECT_EQ(pair.grades[0].primary_loss, 1);
  EXPECT_EQ(pair.grades[0].candidate_loss, 0);
  EXPECT_EQ(pair.validity, Validity::kValid);
  ASSERT_EQ(batch.ledger.size(), 1);
  EXPECT_EQ(batch.ledger[0].second.paired, 1);
  EXPECT_TRUE(batch.ledger[0].second.AddsUp());
}

TEST_F(MirrorTest, ACandidateThatFailsOrIsCutIsWrongAndTheReferenceIsTheTruth) {
  Answer cut = Ok("a");
  cut.finish_reason = "length";
  Answer filtered = Ok("a");
  filtered.finish_reason = "content_filter";
  const std::vector<Answer> bad = {{.status = CallStatus::kTimeout},
                                   {.status = CallStatus::kHttpError, .http_status = 500},
                                   {.status = CallStatus::kBroken},
                                   {.status = CallStatus::kConnectFailed},
                                   cut,
                                   filtered};
  Start({.workers = 1});
  const auto check = [&](LegRole served) {
    mirror_->WaitUntilIdle();
    const Batch batch = books_.Take();
    ASSERT_EQ(batch.pairs.size(), 1);
    const router::Pair& pair = batch.pairs[0];
    EXPECT_EQ(pair.validity, Validity::kValid);
    EXPECT_TRUE(pair.Find(served)->served);
    EXPECT_FALSE(pair.comparisons.at(0).equal);
    ASSERT_EQ(pair.grades.size(), 1);
    EXPECT_EQ(pair.grades[0].primary_loss, 0);
    EXPECT_EQ(pair.grades[0].candidate_loss, 1);
    EXPECT_TRUE(Held().AddsUp());
  };
  const std::string label = R"(,"metadata":{"crossover_label":"a"})";
  for (const Answer& answer : bad) {  // Mirrored.
    model_.Say(answer);
    mirror_->Offer(Job("a", label));
    check(LegRole::kPrimary);
    breakers_.For("new").Success();
  }
  model_.Say(Ok("a"));
  for (const Answer& answer : bad) {  // Served in the canary.
    MirrorJob job = Job("a", label);
    job.assignment.canary = true;
    job.served = answer;
    job.served_variant = "new";
    mirror_->Offer(std::move(job));
    check(LegRole::kCandidate);
  }
  // Served by the reference after the candidate had failed: no second call is needed.
  const size_t calls = model_.calls().size();
  MirrorJob job = Job("a", label);
  job.assignment.canary = true;
  job.from_fallback = true;
  job.failed_first = Answer{.status = CallStatus::kTimeout};
  mirror_->Offer(std::move(job));
  check(LegRole::kPrimary);
  EXPECT_EQ(model_.calls().size(), calls);
}

TEST_F(MirrorTest, WhatBefellOnlyOneOfTheTwoIsAnEventWhereTheTrafficIsNotDivided) {
  struct Case {
    int weight;
    const char* served_variant;
    Answer served;
    Answer mirrored;
    bool stood_in;  // The reference answered after the candidate had failed.
    int of_reference;
    int of_candidate;
  };
  const Answer fine = Ok("a");
  const Answer broken{.status = CallStatus::kHttpError, .http_status = 500};
  const Answer refused{.status = CallStatus::kHttpError, .http_status = 400};
  Answer late{.status = CallStatus::kTimeout};
  Answer stream = fine;
  stream.streamed = true;
  const std::vector<Case> cases = {
      {10'000, "new", fine, broken, false, 1, 0},
      {10'000, "new", broken, fine, false, 0, 1},
      {10'000, "new", broken, broken, false, 0, 0},
      {10'000, "new", fine, refused, false, 0, 0},
      {10'000, "old", fine, fine, true, 0, 1},
      {10'000, "new", stream, late, false, 0, 0},  // The mirror waits less than the door.
      {5'000, "new", broken, fine, false, 0, 0},
      {0, "old", fine, broken, false, 0, 0}};
  Start({.workers = 1});
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const Case& one = cases[i];
    route_->plan.canary_weight = one.weight;
    route_->plan.comparison = static_cast<int>(i);
    for (const char* name : {"old", "new"}) breakers_.For(name).Success();
    model_.Say(one.mirrored);
    MirrorJob job = Job();
    job.served = one.served;
    job.served_variant = one.served_variant;
    job.assignment.canary = one.stood_in || std::string_view(one.served_variant) == "new";
    job.from_fallback = one.stood_in;
    if (one.stood_in) job.failed_first = broken;
    mirror_->Offer(std::move(job));
    mirror_->WaitUntilIdle();
    ArmCounts counts;
    for (const auto& [key, arm] : books_.Take().arms) {
      EXPECT_EQ(key.weight, kSameRequest);
      counts = arm;
    }
    EXPECT_EQ(counts.reference_events["error_rate"], one.of_reference);
    EXPECT_EQ(counts.candidate_events["error_rate"], one.of_candidate);
    EXPECT_EQ(counts.reference_events["timeout_rate"], 0);
  }
}

TEST_F(MirrorTest, AClientThatAsksAgainIsNoFurtherEventNorIsWhatTheMirrorWouldNotHaveSeen) {
  Start({.workers = 1});
  route_->plan.canary_weight = 10'000;
  const auto fails = [&](const char* cluster) {
    MirrorJob job = Job();
    job.cluster = cluster;
    job.assignment.canary = true;
    job.from_fallback = true;
    job.failed_first = Answer{.status = CallStatus::kHttpError, .http_status = 500};
    mirror_->Offer(std::move(job));
    mirror_->WaitUntilIdle();
    int64_t events = 0;
    for (const auto& [key, arm] : books_.Take().arms)
      events = arm.candidate_events.at("error_rate");
    return events;
  };
  EXPECT_EQ(fails("a"), 1);
  EXPECT_EQ(fails("a"), 0) << "nothing new is booked";
  EXPECT_EQ(fails("b"), 2);
  for (int i = 0; i < 20; ++i) breakers_.For("old").Failure();
  EXPECT_EQ(fails("c"), 0) << "with its breaker open, the reference's own failures go unseen, too";
}

TEST_F(MirrorTest, AReferenceThatWasCutIsNoTruthWhoeverWasServed) {
  Start();
  Answer cut = Ok("a");
  cut.finish_reason = "length";
  model_.Say(cut);
  MirrorJob job = Job("b");
  job.assignment.canary = true;
  job.served_variant = "new";
  mirror_->Offer(std::move(job));
  mirror_->WaitUntilIdle();
  EXPECT_EQ(books_.Take().pairs.at(0).validity, Validity::kTruncated);
  // A reference that fails leaves nothing to compare with.
  model_.Say({.status = CallStatus::kTimeout});
  job = Job("b");
  job.assignment.canary = true;
  job.served_variant = "new";
  mirror_->Offer(std::move(job));
  mirror_->WaitUntilIdle();
  EXPECT_THAT(Held().failed, ElementsAre(::testing::Pair("timeout", 1)));
}

TEST_F(MirrorTest, NoSecondCallIsMadeWhereItsPairCouldNotBeValid) {
  Start();
  const auto validity = [&](MirrorJob job) {
    mirror_->Offer(std::move(job));
    mirror_->WaitUntilIdle();
    const Batch batch = books_.Take();
    EXPECT_EQ(batch.pairs.size(), 1);
    EXPECT_EQ(batch.pairs.at(0).legs.size(), 1);
    EXPECT_FALSE(batch.pairs.at(0).Gradable());
    return batch.pairs.at(0).validity;
  };
  MirrorJob job = Job();
  job.from_fallback = true;
  EXPECT_EQ(validity(std::move(job)), Validity::kFallback);
  job = Job();
  job.served.finish_reason = "length";
  EXPECT_EQ(validity(std::move(job)), Validity::kTruncated);
  job = Job();
  job.served.finish_reason = "content_filter";
  EXPECT_EQ(validity(std::move(job)), Validity::kFiltered);
  job = Job();
  job.served.cached = true;
  EXPECT_EQ(validity(std::move(job)), Validity::kCached);
  job = Job();
  job.request.has_tool_results = true;
  EXPECT_EQ(validity(std::move(job)), Validity::kToolSideEffect);
  EXPECT_TRUE(model_.calls().empty());
  EXPECT_TRUE(Held().AddsUp());
}

TEST_F(MirrorTest, CalibrationComparesThePrimaryWithItself) {
  route_->plan.self_compare = true;
  model_.Say(Ok("other"));
  Start();
  mirror_->Offer(Job("a", R"(,"metadata":{"crossover_label":"a"})"));
  mirror_->WaitUntilIdle();
  const Batch batch = books_.Take();
  ASSERT_EQ(batch.pairs.size(), 1);
  EXPECT_TRUE(batch.pairs[0].self_compare);
  EXPECT_EQ(batch.pairs[0].secondary_differs, true);
  EXPECT_EQ(batch.pairs[0].Find(LegRole::kCandidate), nullptr);
  EXPECT_EQ(model_.calls().at(0).target.name, "old");
}

TEST_F(MirrorTest, TextIsKeptOnlyAsFarAsTheTasksPolicyAllows) {
  Start();
  for (const auto& [policy, text] :
       {std::pair(RecordPolicy::kMetadata, ""), std::pair(RecordPolicy::kRedacted, "to [EMAIL]"),
        std::pair(RecordPolicy::kFull, "to a@b.org")}) {
    route_->task.record = policy;
    mirror_->Offer(Job("to a@b.org"));
    mirror_->WaitUntilIdle();
    const Batch batch = books_.Take();
    EXPECT_EQ(batch.pairs.at(0).Find(LegRole::kPrimary)->output, text);
  }
}

TEST_F(MirrorTest, TextThatCannotBeRedactedIsNotKept) {
  Start();
  route_->task.record = RecordPolicy::kRedacted;
  mirror_->Offer(Job("a \xff b"));  // The expressions need UTF-8.
  mirror_->WaitUntilIdle();
  const Batch batch = books_.Take();
  const Leg& leg = *batch.pairs.at(0).Find(LegRole::kPrimary);
  EXPECT_EQ(leg.output, "");
  EXPECT_FALSE(leg.output_is_complete);
  EXPECT_FALSE(batch.pairs.at(0).Gradable());
}

TEST_F(MirrorTest, TimesAreComparedOnlyWhereTheyMeanTheSame) {
  router::Pair pair;
  pair.legs = {{.role = LegRole::kPrimary,
                .streamed = true,
                .ttft = absl::Milliseconds(1),
                .latency = absl::Milliseconds(9)},
               {.role = LegRole::kCandidate,
                .ttft = absl::Milliseconds(8),
                .latency = absl::Milliseconds(8)}};
  EXPECT_EQ(FactsOf(pair, 1).candidate_ttft, absl::ZeroDuration());
  EXPECT_EQ(FactsOf(pair, 1).candidate_latency, absl::Milliseconds(8));
  pair.legs[0].streamed = false;
  EXPECT_EQ(FactsOf(pair, 1).candidate_ttft, absl::Milliseconds(8));
  pair.legs[1].status = CallStatus::kHttpError;
  EXPECT_EQ(FactsOf(pair, 1).candidate_latency, absl::ZeroDuration());
}

}  // namespace
}  // namespace crossover::router
