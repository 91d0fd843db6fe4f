// The mirror, its books, the journal and the flusher.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/synchronization/notification.h"
#include "common/log/fake_logger.h"
#include "common/testing/matchers.h"
#include "common/testing/temp_dir.h"
#include "common/time/fake_clock.h"
#include "services/shadow_router/domain/facts.h"
#include "services/shadow_router/domain/fake_store.h"
#include "services/shadow_router/domain/flusher.h"
#include "services/shadow_router/domain/mirror.h"

namespace crossover::router {
namespace {

using ::testing::ElementsAre;

constexpr char kExperiment[] = "projects/default/experiments/e1";

Answer Ok(std::string content) {
  Answer answer{.status = CallStatus::kOk,
                .http_status = 200,
                .content = std::move(content),
                .finish_reason = "stop"};
  answer.usage = {.input = 10, .cached_input = 0, .output = 5};
  answer.latency = absl::Milliseconds(20);
  return answer;
}

class FakeModel final : public Upstream {
 public:
  Answer Call(const UpstreamCall& call) override {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
    const auto go = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !stalled_ || shut_down_; };
    mutex_.Await(absl::Condition(&go));
    if (shut_down_) return Answer{.status = CallStatus::kCancelled};
    return answer_;
  }
  void Shutdown() override {
    absl::MutexLock lock(&mutex_);
    shut_down_ = true;
  }
  void Stall(bool stalled) {
    absl::MutexLock lock(&mutex_);
    stalled_ = stalled;
  }
  void Say(Answer answer) {
    absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  std::vector<UpstreamCall> calls() {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }
  void WaitForCalls(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return calls_.size() >= count;
    };
    mutex_.Await(absl::Condition(&enough));
  }

 private:
  absl::Mutex mutex_;
  std::vector<UpstreamCall> calls_ ABSL_GUARDED_BY(mutex_);
  Answer answer_ ABSL_GUARDED_BY(mutex_) = Ok("b");
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
};

class MirrorTest : public ::testing::Test {
 protected:
  MirrorTest() {
    route_->route.name = "projects/default/routes/r";
    for (const char* name : {"old", "new"}) {
      ResolvedVariant variant{.name = name,
                              .system = {.model = {.model = std::string("m-") + name}}};
      variant.target = {.name = name, .base_url = "http://x/v1", .api_key = "secret"};
      variant.digest = SystemDigest(variant.system);
      route_->variants[name] = variant;
    }
    route_->comparators = {{.kind = ComparatorSpec::Kind::kText}};
    route_->plan = {.experiment = kExperiment,
                    .comparison = 1,
                    .reference = "old",
                    .candidate = "new",
                    .shadow_share = 10'000};
    route_->experiment = Experiment{.name = kExperiment};
    route_->task.record = RecordPolicy::kFull;
  }

  void Start(MirrorOptions options = {}) {
    mirror_ = std::make_unique<Mirror>(
        options, Mirror::Deps{model_, books_, breakers_, budget_, **redactor_, clock_});
    mirror_->Start();
  }

  MirrorJob Job(std::string served = "a", const std::string& extra = "") {
    MirrorJob job{.key = books_.Sampled(kExperiment, 1), .route = route_};
    job.request = *ParseChatRequest(R"({"model":"r","messages":[{"role":"user","content":"q"}])" +
                                    extra + "}");
    job.served = Ok(std::move(served));
    job.served_variant = "old";
    job.request_id = "req" + std::to_string(++count_);
    job.time = clock_.Now();
    return job;
  }
  LedgerCounts Held() { return books_.Held(kExperiment, 1); }

  FakeClock clock_;
  FakeModel model_;
  Books books_{"i", "1", clock_};
  Breakers breakers_{{}, clock_};
  BudgetMeter budget_{clock_};
  absl::StatusOr<std::unique_ptr<Redactor>> redactor_ = Redactor::Create();
  std::shared_ptr<ResolvedRoute> route_ = std::make_shared<ResolvedRoute>();
  std::unique_ptr<Mirror> mirror_;
  int count_ = 0;
};

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

TEST_F(MirrorTest, NeverStoresAndNeverStreams) {
  Start();
  mirror_->Offer(
      Job("a", R"(,"stream":true,"store":true,"stream_options":{"include_usage":true})"));
  mirror_->WaitUntilIdle();
  const std::string body = model_.calls().at(0).body;
  EXPECT_THAT(body, ::testing::HasSubstr(R"("store":false)"));
  EXPECT_THAT(body, ::testing::HasSubstr(R"("stream":false)"));
  EXPECT_THAT(body, ::testing::Not(::testing::HasSubstr("stream_options")));
  EXPECT_THAT(body, ::testing::HasSubstr(R"("model":"m-new")"));
}

TEST_F(MirrorTest, TheQueueIsBoundedInBytesWhileTheShadowStalls) {
  model_.Stall(true);
  const size_t item = Job().Bytes();
  (void)books_.Take();
  Start({.max_queue_bytes = 3 * item, .workers = 1});
  for (int i = 0; i < 10; ++i) mirror_->Offer(Job());
  EXPECT_LE(mirror_->queued_bytes(), 3 * item);
  EXPECT_THAT(Held().dropped, ElementsAre(::testing::Pair("queue_full", 7)));
  model_.Stall(false);
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 3);
  EXPECT_TRUE(Held().AddsUp());
}

TEST_F(MirrorTest, EveryRequestEndsInOneBookingWhateverTheShadowDoes) {
  Start({.max_item_bytes = 100'000});
  for (CallStatus status : {CallStatus::kConnectFailed, CallStatus::kTimeout, CallStatus::kBroken,
                            CallStatus::kTooLarge}) {
    model_.Say({.status = status});
    mirror_->Offer(Job());
    mirror_->WaitUntilIdle();
  }
  model_.Say({.status = CallStatus::kHttpError, .http_status = 400});
  mirror_->Offer(Job());
  mirror_->Offer(Job("a", R"(,"metadata":{"crossover_mirror":"off"})"));
  mirror_->Offer(Job(std::string(200'000, 'x')));
  MirrorJob cancelled = Job();
  cancelled.served.status = CallStatus::kCancelled;
  mirror_->Offer(std::move(cancelled));
  MirrorJob failed = Job();
  failed.served.status = CallStatus::kTimeout;
  mirror_->Offer(std::move(failed));
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 4) << "a candidate that fails is evidence";
  EXPECT_THAT(Held().failed, ElementsAre(::testing::Pair("primary_failed", 1)));
  EXPECT_THAT(Held().dropped,
              ElementsAre(::testing::Pair("cancelled", 1), ::testing::Pair("no_consent", 1),
                          ::testing::Pair("too_large", 2)));
  EXPECT_TRUE(Held().AddsUp());
  EXPECT_EQ(Held().in_flight, 0);
}

TEST_F(MirrorTest, AFailingShadowOpensItsBreakerAndIsTriedAgainLater) {
  Start({.workers = 1});
  model_.Say({.status = CallStatus::kConnectFailed});
  for (int i = 0; i < 8; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 5);
  EXPECT_EQ(Held().dropped["breaker_open"], 3);
  model_.Say(Ok("b"));
  clock_.Advance(absl::Seconds(11));
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 6);
}

TEST_F(MirrorTest, TheDaysTokenBudgetIsKeptAndTheNextDayBeginsAnew) {
  route_->experiment->budgets.tokens_per_day = 40;
  Start({.workers = 1});
  for (int i = 0; i < 4; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().dropped["budget"] + Held().paired, 4);
  EXPECT_GT(Held().dropped["budget"], 0);
  EXPECT_LE(budget_.SpentToday(kExperiment).tokens, 40);
  const int64_t before = Held().paired;
  clock_.Advance(absl::Hours(24));
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, before + 1);
}

TEST_F(MirrorTest, ARequestMayLeaveTheHouseOnlyWithTheTasksConsent) {
  route_->variants["new"].target.leaves_house = true;
  route_->variants["new"].system.model.upstream = "projects/default/upstreams/u";
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().dropped["no_consent"], 1);
  EXPECT_TRUE(model_.calls().empty());
  route_->task.mirror_to = {"projects/default/upstreams/u"};
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_EQ(Held().paired, 1);
}

TEST_F(MirrorTest, StoppingBooksWhatWasQueuedAndUnderWayAsCancelled) {
  model_.Stall(true);
  Start({.workers = 1});
  for (int i = 0; i < 3; ++i) mirror_->Offer(Job());
  model_.WaitForCalls(1);
  mirror_->Stop();
  mirror_->Offer(Job());
  EXPECT_THAT(Held().dropped, ElementsAre(::testing::Pair("cancelled", 4)));
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

class FlusherTest : public MirrorTest {
 protected:
  FlusherTest() {
    EXPECT_OK(store_.CreateRoute({.name = "projects/default/routes/r"}, "", clock_.Now()));
    Experiment experiment{.name = kExperiment, .route = "projects/default/routes/r"};
    EXPECT_OK(store_.CreateExperiment(experiment, "", clock_.Now()));
    OpenJournal();
  }
  void OpenJournal(int64_t max_bytes = 1 << 20) {
    flusher_.reset();
    journal_.reset();
    auto journal = Journal::Open((folder_ / "journal").string(), max_bytes);
    ASSERT_OK(journal);
    journal_ = *std::move(journal);
    flusher_ = std::make_unique<Flusher>(books_, store_, *journal_, logger_);
  }

  testing::TempDir folder_;
  FakeRouterStore store_;
  FakeLogger logger_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Flusher> flusher_;
};

TEST_F(FlusherTest, WhatTheDatabaseCannotTakeWaitsInTheJournalAndComesOnceItIsBack) {
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_THAT(flusher_->FlushOnce(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(
      flusher_->Record({.id = "f1", .inference_id = "req1", .name = "label", .value = "\"a\""}));
  EXPECT_GT(journal_->bytes(), 0);
  OpenJournal();  // The process died and came back.
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(journal_->bytes(), 0);
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 1);
  ASSERT_OK_AND_ASSIGN(const auto pairs, store_.ListPairs({.experiment = kExperiment}, {}));
  EXPECT_EQ(pairs.items.size(), 1);
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("req1", {}));
  EXPECT_EQ(feedback.items.size(), 1);
}

TEST_F(FlusherTest, ATornLastRecordIsDroppedAndTheOnesBeforeItCount) {
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_OK(flusher_->Record({.id = "f1", .inference_id = "x", .name = "n", .value = "1"}));
  EXPECT_OK(flusher_->Record({.id = "f2", .inference_id = "x", .name = "n", .value = "2"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  std::string bytes = testing::ReadFile(path);
  bytes.resize(bytes.size() - 5);
  testing::WriteFile(path, bytes);
  OpenJournal();
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("x", {}));
  ASSERT_EQ(feedback.items.size(), 1);
  EXPECT_EQ(feedback.items[0].id, "f1");
}

TEST_F(FlusherTest, OneItemThatTheStoreRefusesTakesNothingElseWithIt) {
  Start();
  std::map<std::string, int64_t> counted;
  flusher_->SetObserver(
      [&](std::string_view kind, int64_t count) { counted[std::string(kind)] += count; });
  for (int i = 0; i < 3; ++i) mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  books_.Served({kExperiment, 1, 500}, true, {});
  store_.Refuse("req2");
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const auto pairs, store_.ListPairs({.experiment = kExperiment}, {}));
  EXPECT_EQ(pairs.items.size(), 2);
  EXPECT_EQ(store_.SumArms(kExperiment, 1)->at(500).candidate_requests, 1);
  EXPECT_THAT(counted, ElementsAre(::testing::Pair("pair", 1)));
  // The same row again, with another pair in it: the rejected one stays booked as failed.
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_OK(flusher_->FlushOnce());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 3);
  EXPECT_EQ(sum.failed.at("rejected"), 1);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, APoisonedRecordIsSetAsideAndWhatComesAfterItIsStored) {
  store_.Fail(absl::UnavailableError("down"));
  for (const char* id : {"f1", "f2", "f3"})
    EXPECT_OK(flusher_->Record({.id = id, .inference_id = "x", .name = "n", .value = "1"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  std::string bytes = testing::ReadFile(path);
  bytes[20] ^= 1;  // Inside the first record.
  testing::WriteFile(path, bytes);
  OpenJournal();
  store_.Fail(absl::OkStatus());
  store_.Refuse("f2");
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(journal_->bytes(), 0);
  ASSERT_OK_AND_ASSIGN(const auto feedback, store_.ListFeedback("x", {}));
  ASSERT_EQ(feedback.items.size(), 1);
  EXPECT_EQ(feedback.items[0].id, "f3");
  const std::string kept = testing::ReadFile(journal_->rejects_path());
  EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), 2);
  EXPECT_THAT(kept, ::testing::HasSubstr("f2"));
  EXPECT_EQ(logger_.Events("router_journal_record_rejected").size(), 2);
}

TEST_F(FlusherTest, ARecordAfterATornOneIsNotSwallowedByIt) {
  store_.Fail(absl::UnavailableError("down"));
  EXPECT_OK(flusher_->Record({.id = "f1", .inference_id = "x", .name = "n", .value = "1"}));
  const std::string path = (folder_ / "journal").string();
  flusher_.reset();
  journal_.reset();
  testing::WriteFile(path, testing::ReadFile(path) + "0123456789abcdef {\"torn");
  OpenJournal();
  EXPECT_OK(flusher_->Record({.id = "f2", .inference_id = "x", .name = "n", .value = "2"}));
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_EQ(store_.ListFeedback("x", {})->items.size(), 2);
}

TEST_F(FlusherTest, FeedbackWithANulIsRefusedAtTheDoor) {
  EXPECT_THAT(flusher_->Record({.id = "f", .inference_id = std::string("a\0b", 3), .name = "n"}),
              HasReasonThat("FEEDBACK_INVALID"));
}

TEST_F(FlusherTest, AFullJournalKeepsTheBatchInMemoryAndBlocksTheMirror) {
  OpenJournal(/*max_bytes=*/10);
  store_.Fail(absl::UnavailableError("down"));
  Start();
  mirror_->Offer(Job());
  mirror_->WaitUntilIdle();
  EXPECT_FALSE(flusher_->FlushOnce().ok());
  EXPECT_TRUE(flusher_->blocked());
  mirror_->SetBlocked(true);
  mirror_->Offer(Job());
  EXPECT_EQ(Held().dropped["breaker_open"], 1);
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_FALSE(flusher_->blocked());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.paired, 1);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, RecordingsThatNothingCanTakeAreDroppedAndCounted) {
  OpenJournal(/*max_bytes=*/10);
  std::map<std::string, int64_t> counted;
  flusher_->SetObserver(
      [&](std::string_view kind, int64_t count) { counted[std::string(kind)] += count; });
  store_.Fail(absl::UnavailableError("down"));
  for (int i = 0; i < 3; ++i) {
    books_.Record({.id = "r", .route = "projects/default/routes/r"});
    EXPECT_FALSE(flusher_->FlushOnce().ok());
  }
  EXPECT_THAT(counted, ElementsAre(::testing::Pair("recording", 3)));
  store_.Fail(absl::OkStatus());
  EXPECT_OK(flusher_->FlushOnce());
  EXPECT_FALSE(flusher_->blocked());
}

TEST_F(FlusherTest, WhatACrashLeftInFlightIsBookedAsCrashed) {
  (void)books_.Sampled(kExperiment, 1);
  (void)books_.Sampled(kExperiment, 1);
  EXPECT_OK(flusher_->FlushOnce());
  Books next("i", "2", clock_);  // kill -9, and a new start.
  Flusher flusher(next, store_, *journal_, logger_);
  EXPECT_OK(flusher.FlushOnce());
  ASSERT_OK_AND_ASSIGN(const LedgerCounts sum, store_.SumLedger(kExperiment, 1));
  EXPECT_EQ(sum.dropped.at("crashed"), 2);
  EXPECT_EQ(sum.in_flight, 0);
  EXPECT_TRUE(sum.AddsUp());
}

TEST_F(FlusherTest, SnapshotsAddUpAtEveryMomentUnderLoad) {
  Start({.max_queue_bytes = 20'000, .workers = 3});
  absl::Notification done;
  std::thread offers([&] {
    for (int i = 0; i < 2'000; ++i) mirror_->Offer(Job());
    done.Notify();
  });
  while (!done.HasBeenNotified()) {
    const Batch batch = books_.Take();
    for (const auto& [key, counts] : batch.ledger) EXPECT_TRUE(counts.AddsUp());
  }
  offers.join();
  mirror_->WaitUntilIdle();
  EXPECT_TRUE(Held().AddsUp());
  EXPECT_EQ(Held().in_flight, 0);
}

}  // namespace
}  // namespace crossover::router
