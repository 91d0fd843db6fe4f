// What every RouterStore keeps of what was measured and of what people said of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/shadow_router/storage/router_store_fixture.h"

namespace crossover::router {
namespace {

TYPED_TEST(RouterStoreTest, AFlushMayBeRepeatedAndCountsOnce) {
  Batch batch{.instance = "i", .incarnation = "1"};
  const absl::Time minute = absl::FromUnixSeconds(1'800'000'000);
  LedgerCounts counts{.eligible = 9,
                      .sampled = 8,
                      .paired = 2,
                      .failed = {{"timeout", 3}},
                      .dropped = {{"budget", 1}},
                      .in_flight = 2,
                      .bytes = 7};
  batch.ledger = {{{kName, 1, minute}, counts},
                  {{kName, 1, minute + absl::Minutes(1)}, counts},
                  {{kName, 2, minute}, counts}};
  batch.arms = {{{kName, 1, 500},
                 {.reference_requests = 5,
                  .candidate_requests = 1,
                  .reference_events = {{"error_rate", 1}},
                  .candidate_events = {}}}};
  batch.pairs = {this->MakePair(), this->MakePair(false)};
  batch.recordings = {
      {.id = this->ids_.NextId(), .route = kRoute, .time = minute, .metadata = {{"k", "v"}}}};
  for (int i = 0; i < 2; ++i) ASSERT_OK(this->store().Flush(batch));

  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, this->store().SumLedger(kName, 1));
  EXPECT_EQ(sum.sampled, 16);
  EXPECT_EQ(sum.failed.at("timeout"), 6);
  EXPECT_TRUE(sum.AddsUp());
  EXPECT_EQ(this->store().ListLedger(kName, std::nullopt)->size(), 3);
  ASSERT_OK_AND_ASSIGN(const auto rows, this->store().ListLedger(kName, 2));
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].counts, counts);
  EXPECT_EQ(this->store().SumArms(kName, 1)->at(500).reference_requests, 5);
  EXPECT_EQ(this->store().ListRecordings("", {})->items, batch.recordings);
  EXPECT_TRUE(this->store().ListRecordings("other", {})->items.empty());
  ASSERT_OK_AND_ASSIGN(const auto pairs, this->store().ListPairs({.experiment = kName}, {}));
  ASSERT_EQ(pairs.items.size(), 2);
  EXPECT_EQ(pairs.items[0].id, batch.pairs[1].id) << "newest first";
  EXPECT_EQ(pairs.items[0].grades, batch.pairs[1].grades);
  EXPECT_EQ(this->store().ListPairs({.experiment = kName, .agree = false}, {})->items.size(), 1);
  EXPECT_TRUE(this->store().ListPairs({.experiment = kName, .comparison = 2}, {})->items.empty());
  ASSERT_OK_AND_ASSIGN(const auto page,
                       this->store().ListPairs({.experiment = kName}, {.size = 1}));
  ASSERT_OK_AND_ASSIGN(
      const auto rest,
      this->store().ListPairs({.experiment = kName}, {.size = 1, .token = page.next_token}));
  EXPECT_EQ(rest.items.at(0).id, batch.pairs[0].id);
  EXPECT_EQ(rest.next_token, "");
}

TYPED_TEST(RouterStoreTest, APairComesBackWhole) {
  const Pair pair = this->MakePair();
  ASSERT_OK(this->store().Flush({.instance = "i", .incarnation = "1", .pairs = {pair}}));
  ASSERT_OK_AND_ASSIGN(Pair read, this->store().GetPair(pair.id));
  EXPECT_EQ(read.grades, pair.grades);
  EXPECT_EQ(read.comparisons, pair.comparisons);
  EXPECT_EQ(read.Find(LegRole::kPrimary)->usage, (Usage{1, 2, 3}));
  EXPECT_EQ(read.Find(LegRole::kCandidate)->ttft, absl::Milliseconds(2));
  EXPECT_EQ(read.secondary_differs, false);
  EXPECT_EQ(read.time, pair.time);
  EXPECT_THAT(this->store().GetPair(this->ids_.NextId()), HasReasonThat("RESOURCE_NOT_FOUND"));
}

// JSON may hold U+0000 in keys and strings, and clients and models do send it.
TYPED_TEST(RouterStoreTest, ANulInWhatClientsAndModelsWroteIsKept) {
  const std::string nul("a\0b", 3);
  Pair pair = this->MakePair();
  pair.completion_id = "chatcmpl" + nul;
  pair.legs[0].output = nul;
  pair.legs[0].system_fingerprint = nul;
  pair.comparisons[0].fields = {{nul, false}};
  Recording recording{.id = this->ids_.NextId(), .route = kRoute, .time = this->clock_.Now()};
  recording.request = nul;
  recording.metadata = {{nul, nul}};
  ASSERT_OK(this->store().Flush(
      {.instance = "i", .incarnation = "1", .pairs = {pair}, .recordings = {recording}}));
  ASSERT_OK_AND_ASSIGN(const Pair read, this->store().GetPair(pair.id));
  EXPECT_EQ(read.legs[0].output, nul);
  EXPECT_EQ(read.comparisons, pair.comparisons);
  EXPECT_EQ(read.grades, pair.grades);
  EXPECT_EQ(this->store().PairFactsAfter(kName, 1, 0, 10)->at(0).primary_fingerprint, nul);
  EXPECT_EQ(this->store().GradeFactsAfter(kName, 1, 0, 10)->size(), 1);
  EXPECT_EQ(this->store().ListRecordings("", {})->items.at(0).metadata, recording.metadata);
  EXPECT_THAT(this->store().AddFeedback({.id = "f",
                                         .project = "projects/default",
                                         .inference_id = pair.id,
                                         .name = "label",
                                         .value = R"("a\u0000b")",
                                         .time = this->clock_.Now()}),
              IsOkAndHolds(true))
      << "its pair is known";
  ASSERT_OK_AND_ASSIGN(const auto items,
                       this->store().UngradedFeedback(kName, absl::InfinitePast(), 10));
  ASSERT_EQ(items.size(), 1);
  EXPECT_EQ(items[0].feedback.value, R"("a\u0000b")");
}

TYPED_TEST(RouterStoreTest, AnIdOfFeedbackStandsForOnePayloadInItsProject) {
  Feedback feedback{.id = "f",
                    .project = "projects/default",
                    .inference_id = "i",
                    .name = "rating",
                    .value = "1",
                    .author = "ann",
                    .time = this->clock_.Now()};
  EXPECT_THAT(this->store().AddFeedback(feedback), IsOkAndHolds(false)) << "no pair of that id";
  feedback.time += absl::Seconds(1);
  EXPECT_OK(this->store().AddFeedback(feedback)) << "a repeat";
  feedback.value = "0";
  const absl::Status reused = this->store().AddFeedback(feedback).status();
  EXPECT_THAT(reused, HasReasonThat("REQUEST_ID_REUSED"));
  EXPECT_THAT(reused.ToString(), ::testing::HasSubstr("use a new one for this request"));
  feedback.project = "projects/other";
  EXPECT_OK(this->store().AddFeedback(feedback));
  EXPECT_EQ(this->store().ListFeedback("i", {})->items.size(), 2);
}

TYPED_TEST(RouterStoreTest, FactsComeInTheOrderOfStorageAndOnlyOnce) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 5; ++i) pairs.push_back(this->MakePair(i % 2 == 0));
  pairs.push_back(this->MakePair(true, /*comparison=*/2));
  ASSERT_OK(this->store().Flush({.instance = "i", .incarnation = "1", .pairs = pairs}));
  std::vector<std::string> clusters;
  int64_t cursor = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto facts, this->store().PairFactsAfter(kName, 1, cursor, 2));
    if (facts.empty()) break;
    for (const PairFacts& fact : facts) {
      clusters.push_back(fact.cluster);
      EXPECT_GT(fact.sequence, cursor);
      cursor = fact.sequence;
    }
  }
  EXPECT_THAT(clusters, ::testing::ElementsAre("c1", "c2", "c3", "c4", "c5"));
  ASSERT_OK_AND_ASSIGN(const auto grades, this->store().GradeFactsAfter(kName, 1, 0, 10));
  ASSERT_EQ(grades.size(), 5);
  EXPECT_EQ(grades[2].pair, pairs[2].id);
  EXPECT_EQ(grades[2].source, GradeSource::kValidator);
  EXPECT_EQ(grades[2].candidate_loss, 1);
  EXPECT_TRUE(this->store().GradeFactsAfter(kName, 1, grades.back().sequence, 10)->empty());
}

TYPED_TEST(RouterStoreTest, WhatAnOldIncarnationLeftInFlightIsBookedAsCrashed) {
  const LedgerKey key{kName, 1, absl::FromUnixSeconds(1'800'000'000)};
  const LedgerCounts counts{.eligible = 5, .sampled = 5, .paired = 1, .in_flight = 4};
  for (const auto& [instance, incarnation] :
       {std::pair("i", "1"), std::pair("i", "2"), std::pair("j", "1")}) {
    ASSERT_OK(this->store().Flush(
        {.instance = instance, .incarnation = incarnation, .ledger = {{key, counts}}}));
  }
  EXPECT_EQ(*this->store().CloseOldIncarnations("i", "2"), 4);
  EXPECT_EQ(*this->store().CloseOldIncarnations("i", "2"), 0);
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, this->store().SumLedger(kName, 1));
  EXPECT_EQ(sum.dropped.at("crashed"), 4);
  EXPECT_EQ(sum.in_flight, 8) << "another instance and the living incarnation are left alone";
  EXPECT_TRUE(sum.AddsUp());
}

TYPED_TEST(RouterStoreTest, ALateLabelFindsItsPairByEitherIdAndIsGradedOnce) {
  const Pair by_request = this->MakePair(), by_completion = this->MakePair();
  Pair incomplete = this->MakePair();
  incomplete.legs[0].output_is_complete = false;
  ASSERT_OK(this->store().Flush(
      {.instance = "i", .incarnation = "1", .pairs = {by_request, by_completion, incomplete}}));
  int id = 0;
  const auto say = [&](const std::string& inference, const std::string& name) {
    EXPECT_OK(this->store().AddFeedback({.id = std::to_string(++id),
                                         .project = "projects/default",
                                         .inference_id = inference,
                                         .name = name,
                                         .value = "\"x\"",
                                         .author = "ann",
                                         .time = this->clock_.Now()}));
  };
  say(by_request.id, "label");
  say(by_completion.completion_id, "demonstration");
  say(incomplete.id, "label");
  say(by_request.id, "rating");
  say("unknown", "label");
  ASSERT_OK_AND_ASSIGN(const auto items,
                       this->store().UngradedFeedback(kName, absl::InfinitePast(), 10));
  ASSERT_EQ(items.size(), 2);
  EXPECT_EQ(items[0].pair.id, by_request.id);
  EXPECT_EQ(items[0].feedback.value, "\"x\"");
  const Grade grade{.source = GradeSource::kLabel,
                    .grader_version = "g",
                    .primary_loss = 1,
                    .candidate_loss = 0,
                    .time = this->clock_.Now()};
  for (int i = 0; i < 2; ++i) ASSERT_OK(this->store().AddGrade(by_request.id, grade));
  EXPECT_EQ(this->store().UngradedFeedback(kName, absl::InfinitePast(), 10)->size(), 1);
  EXPECT_EQ(this->store().ListFeedback(by_request.id, {})->items.at(0).project, "projects/default");
  EXPECT_EQ(this->store().GetPair(by_request.id)->grades.size(), 2);
  EXPECT_EQ(this->store().ListFeedback(by_request.id, {})->items.size(), 2);
}

}  // namespace
}  // namespace crossover::router
